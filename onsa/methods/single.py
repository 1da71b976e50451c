"""Specialists: one model for each task, the reference that no multi-task model has to beat."""

from __future__ import annotations

from pydantic import Field

from onsa.data.budget import divide_tokens
from onsa.methods import method
from onsa.recipe import Settings
from onsa.run import Run
from onsa.training import run_training
from onsa.weights import Weights


class Single(Settings):
    trained_tokens: int | None = Field(
        None, ge=1, description="reply tokens of all models together, instead of num_train_epochs"
    )


@method("single", settings=Single)
def single(run: Run, settings: Single) -> dict[str, Weights]:
    """Train one model for each task on its own, each from the base."""
    budgets = divide_tokens(settings.trained_tokens, run.tasks, run.encoder)
    specialists = {}
    for task in run.tasks:
        trained = run_training(
            run,
            f"probe/{task.name}",
            start=run.base,
            tasks=[task],
            token_budget=budgets[task.name],
        )
        specialists[task.name] = trained["weights"]
        run.stage(f"only {task.name}", trained["weights"])
    return specialists
