"""How far two judges agree beyond chance: Cohen's kappa (Cohen 1960, weighted: Cohen 1968)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onsa.metrics.intervals import Measures, Rows


def agreement(one: Sequence[float], other: Sequence[float], *, squared: bool = False) -> Measures:
    """Kappa and the share of equal verdicts; verdicts are numbers.

    `squared` weighs a disagreement by the square of its distance, as fits ratings; else all weigh
    the same. Kappa is NaN where both give one and the same verdict throughout: there is nothing to
    agree on.
    """
    assert len(one) == len(other) > 0, "two verdicts for each row"
    scale = np.unique([*one, *other])
    left, right = (np.searchsorted(scale, verdicts) for verdicts in (one, other))
    apart = scale[:, None] - scale[None, :]
    weights = apart**2 if squared else (apart != 0).astype(float)

    def measure(rows: Rows) -> dict[str, float]:
        table = np.zeros((len(scale), len(scale)))
        np.add.at(table, (left[rows], right[rows]), 1.0)
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / len(rows)
        chance = float((weights * expected).sum())
        kappa = 1 - float((weights * table).sum()) / chance if chance else math.nan
        return {"kappa": kappa, "share": float(np.trace(table)) / len(rows)}

    return Measures(measure, "all verdicts are alike")
