"""Means over examples and seeds at once, and how far they can be trusted.

Each seed is scored on the same examples, so that scores form a table, seeds x examples. Both were
drawn by chance, and both count: the variance of the mean is that of two crossed random effects.
With S seeds and n examples the mean squares over examples, seeds and what is left give
(MS_examples + MS_seeds - MS_rest) / (n S); its degrees of freedom are Satterthwaite's (1946).

Examples that share a group (a passage) were drawn together, so that the groups take their place:
deviations are summed by group before they are squared, those of what is left too (clustering in
two ways: Cameron, Gelbach and Miller 2011). Groups of one example give the formula above.
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
    clustered_interval,
    clustered_variance,
    group_numbers,
    is_binary,
    t_point,
    t_tail,
    wilson,
)

Table = NDArray[np.float64]  # seeds x examples
ROUNDING = 1e-12  # of a mean: a smaller standard error is none


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error, the degrees of freedom of that, and how many groups of
    examples (or single ones) were drawn."""

    mean: float
    standard_error: float
    degrees: float
    groups: int

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

        Where all groups changed alike there is no spread to go by: then by the sign test.
        """
        if self.mean == 0 or not self.degrees:
            return 1.0
        if self.standard_error <= ROUNDING * abs(self.mean):
            return float(min(1.0, 2 * 0.5**self.groups))
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
    numbers = _numbers(tables, groups)
    count = sum(int(each.max()) + 1 for each in numbers)
    if any(each.max() == 0 for each in numbers):
        return Estimate(mean, 0.0, 0.0, count)  # how far groups differ, one of them does not tell
    examples = [_of_examples(*each, weight) for each in zip(tables, numbers, strict=True)]
    of_examples = math.fsum(part.variance for part in examples)
    seeds = len(tables[0])
    if seeds == 1:
        return _estimate(mean, of_examples, examples, count)
    by_seed = np.mean([table.mean(axis=1) for table in tables], axis=0)
    of_seeds = Component(float(by_seed.var(ddof=1)) / seeds, seeds - 1)
    rest = [_of_the_rest(*each, weight) for each in zip(tables, numbers, strict=True)]
    variance = of_examples + of_seeds.variance - math.fsum(part.variance for part in rest)
    # The subtraction may leave less than one effect alone has, by chance; that would be too sure.
    variance = max(variance, of_examples, of_seeds.variance)
    return _estimate(mean, variance, [*examples, of_seeds, *rest], count)


def crossed_interval(table: Table, groups: Sequence[str] = ()) -> Interval:
    """The mean of one task's scores with its 95 % interval over examples and seeds."""
    first, own = table[0].tolist(), groups or [""] * table.shape[1]
    constant = table.min() == table.max()
    if len(table) == 1 or (constant and is_binary(first)):
        return clustered_interval(first, own)  # Wilson's has a width where all are right
    return crossed_mean([table], [own]).interval(table.shape[1])


def average_interval(tables: Sequence[Table], groups: Sequence[Sequence[str]] = ()) -> Interval:
    """The mean over tasks of their means with its 95 % interval; `n` is the number of tasks."""
    estimate = crossed_mean(tables, groups)
    first = np.concatenate([table[0] for table in tables]).tolist()
    if not estimate.standard_error and is_binary(first):
        return _of_equal_groups(tables, _numbers(tables, groups))
    return estimate.interval(len(tables))


def _of_equal_groups(tables: Sequence[Table], numbers: Sequence[Rows]) -> Interval:
    """Where no group differs from another, as where all is right: from Wilson's intervals for as
    many rows as there are groups; of tasks that differ put together (Zou and Donner 2008)."""
    means = [float(table.mean()) for table in tables]
    counts = [int(each.max()) + 1 for each in numbers]
    mean = math.fsum(means) / len(means)
    if len(set(means)) == 1:
        means, counts = [mean], [sum(counts)]
    ends = [wilson(each * count, count) for each, count in zip(means, counts, strict=True)]
    if len(ends) == 1:
        return Interval(mean, *ends[0], len(tables))
    below, above = (
        math.hypot(*(each - end[side] for each, end in zip(means, ends, strict=True))) / len(means)
        for side in (0, 1)
    )
    return Interval(mean, mean - below, mean + above, len(tables))


def _numbers(tables: Sequence[Table], groups: Sequence[Sequence[str]]) -> list[Rows]:
    """The number of each example's group, by task; without groups every example is one."""
    return [group_numbers(each) for each in groups or [[""] * t.shape[1] for t in tables]]


def _of_examples(table: Table, numbers: Rows, weight: float) -> Component:
    count = int(numbers.max()) + 1
    return Component(weight * clustered_variance(table.mean(axis=0), numbers), count - 1)


def _of_the_rest(table: Table, numbers: Rows, weight: float) -> Component:
    """What neither the group nor the seed explains."""
    seeds, n = table.shape
    count = int(numbers.max()) + 1
    by_example, by_seed = table.mean(axis=0), table.mean(axis=1)
    rest = table - by_example[None, :] - by_seed[:, None] + table.mean()
    summed = np.stack([np.bincount(numbers, each) for each in rest])
    degrees = (count - 1) * (seeds - 1)
    size = seeds * n * (n / count)
    return Component(weight * float((summed**2).sum()) / degrees / size, degrees)


def _estimate(mean: float, variance: float, parts: Sequence[Component], groups: int) -> Estimate:
    spread = math.fsum(part.variance**2 / part.degrees for part in parts if part.degrees)
    if spread:
        degrees = max(1.0, variance**2 / spread)
    else:  # no variance at all, or nothing to tell it by
        degrees = float(max(part.degrees for part in parts))
    return Estimate(mean, math.sqrt(variance), degrees, groups)
