"""Squared and absolute error, R², and correlation, of numbers replied with the true ones.

R² is not defined where all true numbers are alike, a correlation not where all of either are, and
nothing is where a reply is no number: such figures are NaN, and `undefined` says why in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onsa.metrics.intervals import Measures, Rows

Values = NDArray[np.float64]


def regression_measures(truth: Sequence[float], found: Sequence[float]) -> dict[str, float]:
    """All figures of `regression` over all rows."""
    return regression(truth, found)(np.arange(len(truth)))


def regression(truth: Sequence[float], found: Sequence[float]) -> Measures:
    """MSE, MAE, R² (1 - squared error / that of the true mean), Pearson's and Spearman's r."""
    assert len(truth) == len(found) > 0, "a number and a reply for each row"
    wanted, given = np.array(truth, np.float64), np.array(found, np.float64)
    places = [np.unique(values, return_inverse=True)[1] for values in (wanted, given)]

    @np.errstate(over="ignore", invalid="ignore")  # what no float can hold is inf or NaN, and said
    def measure(rows: Rows) -> dict[str, float]:
        true, said = wanted[rows], given[rows]
        ranks = [_ranks(place[rows]) for place in places]
        is_number = bool(np.isfinite(true).all() and np.isfinite(said).all())
        squares = float(np.mean((true - said) ** 2))
        return {
            "MSE": squares,
            "MAE": float(np.mean(np.abs(true - said))),
            "R²": 1 - squares / float(true.var()) if _varies(true) else math.nan,
            "Pearson": _correlation(true, said) if is_number else math.nan,
            "Spearman": _correlation(*ranks) if is_number else math.nan,
        }

    return Measures(measure, undefined(truth, found))


def undefined(truth: Sequence[float], found: Sequence[float]) -> str:
    """Why figures are not defined, in words; empty where all are."""
    faults = sum(not math.isfinite(value) for value in (*truth, *found))
    if faults:
        return f"{faults} of the replies are no number"
    alike = [name for name, values in (("true", truth), ("replied", found))
             if not _varies(np.array(values, np.float64))]  # fmt: skip
    return f"all {' and all '.join(alike)} numbers are alike" if alike else ""


def _varies(values: Values) -> bool:
    return bool(np.ptp(values) > 0)


def _correlation(one: Values, other: Values) -> float:
    if not (_varies(one) and _varies(other)):
        return math.nan
    left, right = _unit(one), _unit(other)
    return float(np.clip(left @ right, -1.0, 1.0))


def _unit(values: Values) -> Values:
    """Deviations from the mean as a vector of length 1; scaled first, so that none overflows."""
    scaled = values / np.abs(values).max()
    deviations = scaled - scaled.mean()
    length = float(np.sqrt(deviations @ deviations))
    return deviations / length if length else deviations * math.nan


def _ranks(places: Rows) -> Values:
    """Each value's mean rank, from its place among the distinct values."""
    counts = np.bincount(places)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
