"""The mean of scores and how far it can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from onsa.errors import InputError

NEARLY_NORMAL = 10_000  # degrees of freedom
NORMAL_95 = 1.959963984540054  # the 97.5 % point of the normal distribution


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
        return Interval(mean, *_wilson(round(math.fsum(scores)), len(scores)), len(scores))
    if len(scores) == 1:
        return Interval(mean, None, None, 1)
    half = t_point(len(scores) - 1) * statistics.stdev(scores) / math.sqrt(len(scores))
    return Interval(mean, mean - half, mean + half, len(scores))


def check_finite(scores: Sequence[float]) -> None:
    if not all(map(math.isfinite, scores)):
        raise InputError(
            "a score is not a finite number",
            way_out="the training went astray; lower learning_rate and run again",
        )


def is_binary(scores: Sequence[float]) -> bool:
    return all(score in (0.0, 1.0) for score in scores)


def _wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's score interval (Wilson 1927)."""
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
