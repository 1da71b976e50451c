"""Specialists: one model for each task, the reference that no multi-task model has to beat."""

from __future__ import annotations

from onsa.methods import method
from onsa.run import Run
from onsa.settings import Budgeted
from onsa.training.specialists import train_specialists
from onsa.weights import Weights


class Single(Budgeted):
    """Nothing but its length."""


@method("single", settings=Single)
def single(run: Run, settings: Single) -> dict[str, Weights]:
    """Train one model for each task on its own, each from the base."""
    return train_specialists(run, settings.trained_tokens)
