"""Means over examples and seeds at once, and how far they can be trusted.

Each seed is scored on the same examples, so that scores form a table, seeds x examples. Both were
drawn by chance, and both count: the variance of the mean is that of two crossed random effects.
With S seeds and n examples the mean squares over examples, seeds and what is left give
(MS_examples + MS_seeds - MS_rest) / (n S); its degrees of freedom are Satterthwaite's (1946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onsa.metrics.intervals import (
    Interval,
    Rows,
    check_finite,
    clustered_variance,
    group_numbers,
    is_binary,
    mean_interval,
    t_point,
    t_tail,
)

Table = NDArray[np.float64]  # seeds x examples


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error, the degrees of freedom of that, and how many examples."""

    mean: float
    standard_error: float
    degrees: float
    examples: int

    @property
    def half_width(self) -> float:
        """Of the 95 % interval; infinite where one number is all there is."""
        if not self.degrees:
            return math.inf
        return t_point(self.degrees) * self.standard_error if self.standard_error else 0.0

    def interval(self, n: int) -> Interval:
        """The 95 % interval, without bounds where one number is all there is."""
        if not math.isfinite(self.half_width):
            return Interval(self.mean, None, None, n)
        return Interval(self.mean, self.mean - self.half_width, self.mean + self.half_width, n)

    @property
    def p_value(self) -> float:
        """Two-sided, of a mean this far from 0 if it were 0.

        Where all examples changed alike there is no spread to go by: then by the sign test.
        """
        if self.mean == 0 or not self.degrees:
            return 1.0
        if not self.standard_error:
            return float(min(1.0, 2 * 0.5**self.examples))
        return t_tail(abs(self.mean) / self.standard_error, self.degrees)


@dataclass(frozen=True)
class Component:
    """A part of a variance, with its degrees of freedom."""

    variance: float
    degrees: float


def crossed_mean(tables: Sequence[Table], groups: Sequence[Sequence[str]] = ()) -> Estimate:
    """The mean over tasks of their means, each a table of the same seeds and its own examples.

    `groups`, for each task, are those of its examples that were drawn together.

    Raises:
        InputError: a score is not a finite number.
    """
    assert len({len(table) for table in tables}) == 1, "the same seeds for every task"
    for table in tables:
        check_finite(table.ravel().tolist())
    weight = 1 / len(tables) ** 2
    mean = float(np.mean([table.mean() for table in tables]))
    count = sum(table.shape[1] for table in tables)
    numbers = [group_numbers(each) for each in groups or [[""] * t.shape[1] for t in tables]]
    examples = [_of_examples(*each, weight) for each in zip(tables, numbers, strict=True)]
    of_examples = math.fsum(part.variance for part in examples)
    seeds = len(tables[0])
    if seeds == 1:
        return _estimate(mean, of_examples, examples, count)
    by_seed = np.mean([table.mean(axis=1) for table in tables], axis=0)
    of_seeds = Component(float(by_seed.var(ddof=1)) / seeds, seeds - 1)
    rest = [_of_the_rest(table, weight) for table in tables]
    variance = of_examples + of_seeds.variance - math.fsum(part.variance for part in rest)
    # The subtraction may leave less than one effect alone has, by chance; that would be too sure.
    variance = max(variance, of_examples, of_seeds.variance)
    return _estimate(mean, variance, [*examples, of_seeds, *rest], count)


def crossed_interval(table: Table) -> Interval:
    """The mean of one task's scores with its 95 % interval over examples and seeds."""
    constant = table.min() == table.max()
    if len(table) == 1 or (constant and is_binary(table[0].tolist())):
        return mean_interval(table[0].tolist())  # Wilson's has a width where all are right
    return crossed_mean([table]).interval(table.shape[1])


def average_interval(tables: Sequence[Table], groups: Sequence[Sequence[str]] = ()) -> Interval:
    """The mean over tasks of their means with its 95 % interval; `n` is the number of tasks."""
    estimate = crossed_mean(tables, groups)
    first = np.concatenate([table[0] for table in tables]).tolist()
    if not estimate.standard_error and is_binary(first):
        pooled = mean_interval(first)
        return Interval(pooled.mean, pooled.low, pooled.high, len(tables))
    return estimate.interval(len(tables))


def _of_examples(table: Table, numbers: Rows, weight: float) -> Component:
    count = int(numbers.max()) + 1
    if count == 1:
        return Component(0.0, 0)
    return Component(weight * clustered_variance(table.mean(axis=0), numbers), count - 1)


def _of_the_rest(table: Table, weight: float) -> Component:
    """What neither the example nor the seed explains."""
    seeds, n = table.shape
    if n == 1:
        return Component(0.0, 0)
    by_example, by_seed = table.mean(axis=0), table.mean(axis=1)
    rest = table - by_example[None, :] - by_seed[:, None] + table.mean()
    degrees = (n - 1) * (seeds - 1)
    return Component(weight * float((rest**2).sum()) / degrees / table.size, degrees)


def _estimate(mean: float, variance: float, parts: Sequence[Component], examples: int) -> Estimate:
    spread = math.fsum(part.variance**2 / part.degrees for part in parts if part.degrees)
    if spread:
        degrees = max(1.0, variance**2 / spread)
    else:  # no variance at all, or nothing to tell it by
        degrees = float(max(part.degrees for part in parts))
    return Estimate(mean, math.sqrt(variance), degrees, examples)
