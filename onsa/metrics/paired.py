"""Two lists of scores of the same examples: what was gained, what was lost, and by chance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onsa.metrics.intervals import check_finite, group_numbers, is_binary

ALL_FLIPS_UP_TO = 14  # differences; more than that are sampled
SAMPLED_FLIPS = 10_000
FLIPS_AT_ONCE = 500  # bounds the memory: rows x this many float64


@dataclass(frozen=True)
class Paired:
    """Examples that rose and fell, the mean change, and a two-sided p value."""

    gained: int
    lost: int
    mean_change: float
    p_value: float


def compare_paired(
    before: Sequence[float], after: Sequence[float], groups: Sequence[str] = (), *, seed: int = 0
) -> Paired:
    """Compare scores of the same examples, in the same order.

    The p value is that of the exact McNemar test where all scores are 0 or 1 (a fair coin for
    each example that changed); else of a permutation test that swaps before and after, over all
    swaps for few changes and over 10 000 seeded ones for many. Where rows share a group (a
    passage), whole groups are swapped.

    Raises:
        InputError: a score is not a finite number.
    """
    assert len(before) == len(after) > 0, "scores of the same examples"
    check_finite([*before, *after])
    changes = [new - old for old, new in zip(before, after, strict=True)]
    gained = sum(change > 0 for change in changes)
    lost = sum(change < 0 for change in changes)
    by_group = _by_group(changes, groups)
    if len(by_group) < len(changes):
        p_value = permutation([change for change in by_group if change], seed)
    elif is_binary([*before, *after]):
        p_value = mcnemar(gained, lost)
    else:
        p_value = permutation([change for change in changes if change], seed)
    return Paired(gained, lost, math.fsum(changes) / len(changes), p_value)


def _by_group(changes: Sequence[float], groups: Sequence[str]) -> list[float]:
    """The change of each group; without groups, of each row."""
    if not groups:
        return list(changes)
    sums = np.bincount(group_numbers(groups), np.array(changes))
    return [float(value) for value in np.where(np.abs(sums) < 1e-12, 0.0, sums)]


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact McNemar test: P of a split at least as uneven from fair coins."""
    n, fewer = gained + lost, min(gained, lost)
    # In integers, each binomial coefficient from the one before: 0.5**n would vanish for large n.
    term = tail = 1
    for count in range(fewer):
        term = term * (n - count) // (count + 1)
        tail += term
    return min(1.0, 2 * tail / 2**n)


def permutation(changes: Sequence[float], seed: int) -> float:
    """Two-sided P of a sum at least as far from 0, when each change has a random sign."""
    if not changes:
        return 1.0
    values = np.array(changes, dtype=np.float64)
    # A sum that differs by rounding only is as far from 0 as the one observed.
    seen = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if len(values) <= ALL_FLIPS_UP_TO:
        signs = _all_signs(len(values))
        return float(np.mean(np.abs(signs @ values) >= seen))
    chance = np.random.default_rng(seed)
    hits = 0
    for _ in range(SAMPLED_FLIPS // FLIPS_AT_ONCE):
        signs = chance.integers(0, 2, size=(FLIPS_AT_ONCE, len(values))) * 2.0 - 1.0
        hits += int(np.sum(np.abs(signs @ values) >= seen))
    return (hits + 1) / (SAMPLED_FLIPS + 1)


def _all_signs(n: int) -> np.ndarray:
    """Every row of +1 and -1 of length n, shape (2**n, n)."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return bits * 2.0 - 1.0
