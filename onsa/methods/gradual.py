"""Gradual unfreezing: the top of the model first, then block by block downwards.

Howard & Ruder 2018, Universal Language Model Fine-tuning for Text Classification,
arXiv:1801.06146. What is done otherwise here is said in docs/methods/gradual.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from onsa.choosing.choices import block_count, depth_of, tied_head
from onsa.methods import method
from onsa.run import Run, Step
from onsa.settings import Budgeted
from onsa.training.steering import TrainOnly
from onsa.training.train import train, train_mixed
from onsa.training.trainer import PlannedTrainer
from onsa.weights import Weights


class Gradual(Budgeted):
    unfrozen_after: float = Field(
        0.5, gt=0, lt=1, description="share of the training after which everything trains"
    )


@method("gradual", settings=Gradual, paper="arXiv:1801.06146")
def gradual(run: Run, settings: Gradual) -> Weights:
    """Train the last block, norm and head first, then one block more at a time, downwards."""
    if tied_head(run.base.float_shapes):
        run.warn("the head's matrix is the embedding, tied: both are unfrozen last")
    return train_mixed(
        run,
        "gradual",
        "gradual",
        settings.trained_tokens,
        function=train_gradually,
        unfrozen_after=settings.unfrozen_after,
    )


def train_gradually(
    step: Step, *, start: Weights, unfrozen_after: float, **inputs: Any
) -> dict[str, Any]:
    """`train`, with more and more of the model from the top down."""
    stages = stages_of(start.float_shapes)
    last = max(stages.values())

    def steer(trainer: PlannedTrainer) -> TrainOnly:
        steps = trainer.args.max_steps
        opened = {at: open_stage(at, steps, last, unfrozen_after) for at in range(steps)}
        step.note(unfrozen=[[at, opened[at]] for at in opened if opened[at] != opened.get(at - 1)])

        def names_at(done: int) -> set[str]:
            return {name for name, stage in stages.items() if stage <= opened[done]}

        return TrainOnly(trainer.model, names_at)

    return train(step, start=start, steer=steer, **inputs)


def stages_of(names: Iterable[str]) -> dict[str, int]:
    """When each parameter is unfrozen: 0 for the last block and what is above it, then one more
    for each block below, and the largest number for the embedding."""
    names = list(names)
    blocks = block_count(names)
    return {name: max(0, blocks - depth_of(name, blocks)) for name in names}


def open_stage(done: int, steps: int, last: int, unfrozen_after: float) -> int:
    """The stage that is open after `done` of `steps`: linear, `last` from `unfrozen_after` on.

    The last step trains everything, however few there are.
    """
    through = min(unfrozen_after * steps, steps - 1)
    return last if done >= through else int(last * done / through)
