"""Plain mixing: all weights, all tasks at once."""

from __future__ import annotations

from pydantic import Field

from onsa.methods import method
from onsa.recipe import Settings
from onsa.run import Run
from onsa.training import run_training
from onsa.weights import Weights


class Full(Settings):
    trained_tokens: int | None = Field(
        None, ge=1, description="reply tokens to train on, instead of num_train_epochs"
    )


@method("full", settings=Full)
def full(run: Run, settings: Full) -> Weights:
    """Train all weights on all tasks, mixed anew in every epoch."""
    trained = run_training(
        run,
        "full",
        start=run.base,
        tasks=run.tasks,
        token_budget=settings.trained_tokens,
    )
    weights: Weights = trained["weights"]
    run.stage("mixed", weights)
    return weights
