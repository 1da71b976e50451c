"""Specialists: one model for each task, the reference that no multi-task model has to beat."""

from __future__ import annotations

from pydantic import Field

from onsa.methods import method
from onsa.recipe import Settings
from onsa.run import Run
from onsa.specialists import train_specialists
from onsa.weights import Weights


class Single(Settings):
    trained_tokens: int | None = Field(
        None, ge=1, description="reply tokens of all models together, instead of num_train_epochs"
    )


@method("single", settings=Single)
def single(run: Run, settings: Single) -> dict[str, Weights]:
    """Train one model for each task on its own, each from the base."""
    return train_specialists(run, settings.trained_tokens)
