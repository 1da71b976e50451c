"""Groups of tasks one after another, nothing held: the paper's multi-stage baseline.

Wang, Liang, Peng 2025, arXiv:2508.21741, compares with K = 3 random groups and with groups given
by hand. One task a stage is plain sequential training.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from onsa.cores.grouping import require_each_once
from onsa.data.budget import divide_tokens
from onsa.methods import method
from onsa.recipe.training import BEST_STATE_KEYS
from onsa.run import Run
from onsa.settings import Budgeted
from onsa.training.train import run_training
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.tasks import Task


class MultiStage(Budgeted):
    no_effect: ClassVar[frozenset[str]] = BEST_STATE_KEYS

    stages: Literal["each"] | int | list[list[str]] = Field(
        3, description="a number of random groups, the groups by name, or 'each' task in its order"
    )


@method("multi_stage", settings=MultiStage, paper="arXiv:2508.21741")
def multi_stage(run: Run, settings: MultiStage) -> Weights:
    """Train groups of tasks one after another: random groups, given ones, or task by task."""
    budgets = divide_tokens(settings.trained_tokens, run.tasks, run.encoder)
    weights = run.base
    for number, group in enumerate(_groups(run.tasks, settings.stages, run.recipe.seed), start=1):
        own = [budgets[task.name] for task in group]
        trained = run_training(
            run,
            f"stage/{number}",
            start=weights,
            tasks=group,
            token_budget=sum(filter(None, own)) or None,
        )
        weights = trained["weights"]
        run.stage(" + ".join(task.name for task in group), weights)
    return weights


def _groups(
    tasks: Sequence[Task], stages: Literal["each"] | int | list[list[str]], seed: int
) -> list[list[Task]]:
    by_name = {task.name: task for task in tasks}
    if stages == "each":
        return [[task] for task in tasks]
    if isinstance(stages, list):
        require_each_once(list(by_name), [name for group in stages for name in group], "stages")
        return [[by_name[name] for name in group] for group in stages]
    order = random.Random(f"multi_stage/{seed}").sample(list(tasks), len(tasks))
    count = max(1, min(int(stages), len(order)))
    return [order[number::count] for number in range(count)]
