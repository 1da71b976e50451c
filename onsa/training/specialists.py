"""One model for each task, each trained on its own from the base: a reference and a start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onsa.data.budget import divide_tokens
from onsa.training.train import run_training
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Run


def train_specialists(run: Run, trained_tokens: int | None) -> dict[str, Weights]:
    """The specialists by task; `trained_tokens` for all of them together, or whole epochs.

    Methods that begin with them share the steps.
    """
    budgets = divide_tokens(trained_tokens, run.tasks, run.encoder)
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
