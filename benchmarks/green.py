"""How much faster is a training step that trains less?

    python -m benchmarks.green

Copies of a model of 135 million entries in one process: forward, backward, clipping, AdamW. One
trains everything; one what GreenTrainer chooses at rho 0.5; one the last quarter of the blocks, its
embeddings frozen. The importance that green chooses by is drawn at random here: what a choice
costs, not what it is worth, is measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import torch

from benchmarks import HEAD, Ratio, in_turns, model_folder, ratio_of
from benchmarks.step import Copy
from onsa.choosing.choices import block_count, choose
from onsa.choosing.flops import Work, best_choice, step_costs
from onsa.methods.green import backward_budget
from onsa.models.loading import read_config
from onsa.training.steering import let_train
from onsa.weights import Weights

BATCH = (8, 128)
TURNS = 8
RHO = 0.5
MOST = 0.65


def training(weights: Weights, ids: torch.Tensor, names: Collection[str] | None) -> Copy:
    """A copy of the model of which only `names` train; all of it for None."""
    copy = Copy(weights, ids)
    if names is not None:
        let_train(dict(copy.model.named_parameters()), names)
    copy.seconds()
    return copy


def green_choice(weights: Weights) -> set[str]:
    """What would be trained at `RHO` with random importances."""
    rows, length = BATCH
    costs = step_costs(
        weights.float_shapes,
        read_config(weights.folder),
        Work(rows, length, rows * (length - 1)),
    )
    draw = torch.Generator().manual_seed(0)
    worth = torch.rand(len(costs), generator=draw).tolist()
    worth = [each if cost.name else 0.0 for each, cost in zip(worth, costs, strict=True)]
    chosen = best_choice(costs, worth, backward_budget(costs, RHO))
    return {cost.name for cost, taken in zip(costs, chosen, strict=True) if taken}


def last_quarter(weights: Weights) -> set[str]:
    blocks = block_count(weights.float_shapes)
    mask = choose(weights.float_shapes, last_blocks=max(1, blocks // 4))
    return {name for name, count in mask.count_by_name().items() if count}


def measure() -> list[Ratio]:
    with tempfile.TemporaryDirectory(prefix="green.") as name:
        weights = Weights(model_folder(Path(name)))
        ids = torch.randint(0, 256, BATCH, generator=torch.Generator().manual_seed(0))
        full = training(weights, ids, None)
        ratios = []
        for what, names in (
            (f"seconds of a step of green at rho {RHO} / full", green_choice(weights)),
            ("seconds of a step of the last quarter of blocks / full", last_quarter(weights)),
        ):
            part = training(weights, ids, names)
            ratios.append(ratio_of(what, in_turns(part.seconds, full.seconds, TURNS), MOST))
    return ratios


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
