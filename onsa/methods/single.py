"""Specialists: one model for each task, the reference that no multi-task model has to beat."""

from __future__ import annotations

from typing import ClassVar

from onsa.methods import method
from onsa.recipe.training import BEST_STATE_KEYS
from onsa.run import Run
from onsa.settings import Budgeted
from onsa.training.specialists import train_specialists
from onsa.weights import Weights


class Single(Budgeted):
    """Nothing but its length."""

    no_effect: ClassVar[frozenset[str]] = BEST_STATE_KEYS


@method("single", settings=Single)
def single(run: Run, settings: Single) -> dict[str, Weights]:
    """Train one model for each task on its own, each from the base."""
    return train_specialists(run, settings.trained_tokens)
