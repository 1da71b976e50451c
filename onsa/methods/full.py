"""Plain mixing: all weights, all tasks at once."""

from __future__ import annotations

from onsa.methods import method
from onsa.run import Run
from onsa.settings import Budgeted
from onsa.training.train import train_mixed
from onsa.weights import Weights


class Full(Budgeted):
    """Nothing but its length."""


@method("full", settings=Full)
def full(run: Run, settings: Full) -> Weights:
    """Train all weights on all tasks, mixed anew in every epoch."""
    return train_mixed(run, "full", "mixed", settings.trained_tokens)
