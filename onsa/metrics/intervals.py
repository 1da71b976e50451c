"""The mean of scores and how far it can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from onsa.errors import InputError

NEARLY_NORMAL = 10_000  # degrees of freedom
NORMAL_95 = 1.959963984540054  # the 97.5 % point of the normal distribution
RESAMPLES = 1000
MOST_UNDEFINED = 0.05  # of the resamples; beyond that an interval would be one of the lucky ones

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Measures:
    """Figures of any choice of rows, by name; a row named twice counts twice.

    What costs is done before this is made, so that it can be asked for a thousand resamples. A
    figure that is not defined on the rows is NaN; `undefined` says in words what is the matter with
    all of them.
    """

    measure: Callable[[Rows], dict[str, float]]
    undefined: str = ""

    def __call__(self, rows: Rows) -> dict[str, float]:
        return self.measure(rows)


@dataclass(frozen=True)
class Interval:
    """A mean over `n` scores with its 95 % confidence interval; None where it has no bound."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def within(self, low: float, high: float) -> Interval:
        """The same, with bounds that a mean of such scores can have: a share is 0 to 1."""

        def bounded(value: float | None) -> float | None:
            return None if value is None else min(high, max(low, value))

        return Interval(self.mean, bounded(self.low), bounded(self.high), self.n)


def mean_interval(scores: Sequence[float]) -> Interval:
    """The mean of independent scores with a 95 % confidence interval.

    Scores that are all 0 or 1 get Wilson's interval, which holds for few rows and near 0 and 1
    too; others Student's t interval. A single score that is neither 0 nor 1 has no bounds. The
    interval is about the choice of rows, not about the chance in training.

    Raises:
        InputError: a score is not a finite number (the training went astray).
    """
    assert scores, "a mean of nothing"
    check_finite(scores)
    mean = math.fsum(scores) / len(scores)
    if is_binary(scores):
        return Interval(mean, *wilson(round(math.fsum(scores)), len(scores)), len(scores))
    if len(scores) == 1:
        return Interval(mean, None, None, 1)
    half = t_point(len(scores) - 1) * statistics.stdev(scores) / math.sqrt(len(scores))
    return Interval(mean, mean - half, mean + half, len(scores))


def clustered_interval(scores: Sequence[float], groups: Sequence[str]) -> Interval:
    """The mean with its interval where the rows of one group (a passage) are no news of each other.

    The groups are what was drawn: Student's t over their summed deviations from the mean, with one
    degree of freedom less than there are groups. Where all scores are alike and 0 or 1, Wilson's
    interval for as many rows as there are groups. Rows without a group are groups of one.
    """
    numbers = group_numbers(groups)
    count = int(numbers.max()) + 1
    if count == len(scores):
        return mean_interval(scores)
    check_finite(scores)
    values = np.array(scores, np.float64)
    mean = math.fsum(scores) / len(scores)
    if is_binary(scores) and mean in (0.0, 1.0):
        return Interval(mean, *wilson(round(mean * count), count), len(scores))
    if count == 1:
        return Interval(mean, None, None, len(scores))
    half = t_point(count - 1) * math.sqrt(clustered_variance(values, numbers))
    return Interval(mean, mean - half, mean + half, len(scores))


def clustered_variance(values: NDArray[np.float64], numbers: Rows) -> float:
    """Of the mean of `values`, when groups (by number, two or more) were drawn and not rows."""
    count = int(numbers.max()) + 1
    deviations = np.bincount(numbers, values - values.mean())
    return count / (count - 1) * float((deviations**2).sum()) / len(values) ** 2


def bootstrap_intervals(
    measures: Measures, groups: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Figures over all rows, each with its 95 % percentile bootstrap interval (Efron 1979).

    Whole groups are drawn, as many as there are. A figure has no bounds where it is not defined on
    the rows, or on more than a few of the resamples, or where no resample differs from another:
    then the rows cannot tell how far it might be off.
    """
    everything = measures(np.arange(len(groups)))
    drawn = [measures(rows) for rows in resampled(groups, seed, resamples)]
    found = {}
    for name, value in everything.items():
        values = np.array([figures.get(name, math.nan) for figures in drawn])
        low, high = _percentiles(values) if math.isfinite(value) else (None, None)
        found[name] = Interval(value, low, high, len(groups))
    return found


def resampled(groups: Sequence[str], seed: int, resamples: int) -> Iterator[Rows]:
    """Rows drawn with replacement, group by group; a row without a group is a group of its own."""
    numbers = group_numbers(groups)
    by_group = np.argsort(numbers, kind="stable")
    sizes = np.bincount(numbers)
    starts = np.cumsum(sizes) - sizes
    chance = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = chance.integers(0, len(sizes), len(sizes))
        lengths = sizes[drawn]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield by_group[np.repeat(starts[drawn], lengths) + within]


def group_numbers(groups: Sequence[str]) -> Rows:
    """A number for each row, the same for rows of one group: 0, 1, ..."""
    numbers: dict[tuple[str, int], int] = {}
    keys = [(group, -1) if group else ("", row) for row, group in enumerate(groups)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def _percentiles(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(values) or np.ptp(defined) == 0:
        return None, None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def check_finite(scores: Sequence[float]) -> None:
    if not all(map(math.isfinite, scores)):
        raise InputError(
            "a score is not a finite number",
            way_out="the training went astray; lower learning_rate and run again",
        )


def is_binary(scores: Sequence[float]) -> bool:
    return all(score in (0.0, 1.0) for score in scores)


def wilson(hits: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927)."""
    z2 = NORMAL_95**2
    centre = (hits + z2 / 2) / (n + z2)
    half = NORMAL_95 / (n + z2) * math.sqrt(hits * (n - hits) / n + z2 / 4)
    # At the ends the bound is 0 or 1 exactly; rounding must not put it beside.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return low, high


@cache
def t_point(degrees: float) -> float:
    """The 97.5 % point of Student's t distribution."""
    if degrees > NEARLY_NORMAL:
        return NORMAL_95 * (1 + (NORMAL_95**2 + 1) / (4 * degrees))
    angles, below = _t_integral(degrees)
    angle = float(np.interp(0.95 * below[-1], below, angles))
    return math.sqrt(degrees) * math.tan(angle)


def t_tail(t: float, degrees: float) -> float:
    """The chance of a Student's t at least as far from 0 as `t`, on both sides."""
    if degrees > NEARLY_NORMAL:
        return math.erfc(t / math.sqrt(2))
    angles, below = _t_integral(degrees)
    inside = np.interp(math.atan(t / math.sqrt(degrees)), angles, below) / below[-1]
    return max(0.0, float(1 - inside))


def _t_integral(degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles from 0 up, and the integral of the density to each of them.

    With t = sqrt(v) tan(a) the density of t becomes cos(a)^(v-1) on a finite interval.
    """
    # The density narrows as 1/sqrt(v): look no further than ten of its widths.
    widest = min(math.pi / 2, 13 / math.sqrt(degrees))
    angles = np.linspace(0.0, widest, 200_001)
    density = np.cos(angles).clip(0.0) ** (degrees - 1)
    return angles, np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
