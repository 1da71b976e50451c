"""More depth: new blocks that start as identity are put between those of the base, and only they
train.

Wu et al. 2024, LLaMA Pro: Progressive LLaMA with Block Expansion, arXiv:2401.02415.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field, model_validator

from onsa.choosing.choices import block_count
from onsa.choosing.targets import is_writer
from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.methods import method
from onsa.models.device import device
from onsa.models.loading import load_model, read_config
from onsa.models.logits import probe_logits
from onsa.models.places import BLOCK, place_of
from onsa.run import Run, Step
from onsa.settings import Budgeted
from onsa.training.train import run_training
from onsa.weights import Weights, write_weights

BLOCKS = 4  # added, where nothing is said
TOLERANCE = 1e-5  # of the largest logit: what added zeros may change by rounding


class Expand(Budgeted):
    blocks: int | None = Field(None, ge=1, description=f"blocks added, {BLOCKS} if nothing is said")
    where: Literal["spread", "end"] = Field(
        "spread", description="evenly between the base's blocks, or all after the last"
    )
    every: int | None = Field(
        None, ge=1, description="one block after each so many, in place of blocks and where"
    )

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Expand:
        for key in ("blocks", "where"):
            if self.every is not None and self.differs(key):
                raise InputError(
                    f"{key} has no effect with every", way_out=f"keep one of every and {key}"
                )
        return self


@method("expand", settings=Expand, paper="arXiv:2401.02415")
def expand(run: Run, settings: Expand) -> Weights:
    """Add blocks that start as identity and train only those; the base's are held."""
    order = block_order(block_count(run.base.names), settings)
    start = run.step("expanded", add_blocks, base=run.base, order=order)
    run.starts[run.path] = start
    old = len(set(order))
    run.warn(
        f"{run.path}: {len(order)} blocks, of which {old} are the base's; "
        f"{start.entry_count:,} parameters instead of {run.base.entry_count:,}"
    )
    added = {str(number) for number in _added(order)}
    new = [name for name in start.float_shapes if place_of(name).block in added]
    trained = run_training(
        run,
        "expand",
        start=start,
        tasks=run.tasks,
        keep_best=True,
        token_budget=settings.trained_tokens,
        hold=~ParameterMask.of_names(start.float_shapes, new),
        hold_rule="all but the added blocks",
    )
    weights: Weights = trained["weights"]
    run.stage("expand", weights)
    return weights


def block_order(count: int, settings: Expand) -> list[int]:
    """For each block of the new model the block of the base, of `count`, that it is or copies.

    The first of equal numbers is the base's block itself, those after it are new.

    Raises:
        InputError: `every` is more than there are blocks.
    """
    added = settings.blocks or BLOCKS
    if settings.every is not None:
        if settings.every > count:
            raise InputError(
                f"every {settings.every} adds nothing: the model has {count} blocks",
                way_out=f"give a number up to {count}",
            )
        after = list(range(settings.every, count + 1, settings.every))
    elif settings.where == "end":
        after = [count] * added
    else:
        after = [math.ceil(number * count / added) for number in range(1, added + 1)]
    return sorted([*range(count), *(number - 1 for number in after)])


def add_blocks(step: Step, *, base: Weights, order: Sequence[int]) -> Weights:
    """The base with copies of its blocks, whose writing matrices are zero: the same function.

    Raises:
        InputError: in this architecture it is another function.
    """
    remote_code = step.run.recipe.trust_remote_code
    config = deepen(read_config(base.folder, remote_code), order)
    made_of = tensors_of(base.names, order)
    layout = {name: (base.dtypes[old], base.shapes[old]) for name, (old, _) in made_of.items()}

    def read(name: str) -> torch.Tensor:
        old, zero = made_of[name]
        return torch.zeros(base.shapes[old], dtype=base.dtypes[old]) if zero else base[old]

    expanded = write_weights(step.folder / "weights", layout, read)
    config.save_pretrained(expanded.folder)
    difference = _difference(base, expanded, remote_code)
    step.note(logits_differ_by=difference)
    if not difference <= TOLERANCE:
        raise InputError(
            f"in a {config.model_type} an added block cannot start as identity: its logits would "
            f"differ by {difference:.1e} of the largest",
            way_out="choose another method, such as adapter or lora",
        )
    return step.complete(expanded)


def tensors_of(names: Sequence[str], order: Sequence[int]) -> dict[str, tuple[str, bool]]:
    """For each tensor of the new model: the base's tensor, and whether it is zero instead."""
    in_blocks: dict[str, list[str]] = {}
    for name in names:
        in_blocks.setdefault(place_of(name).block, []).append(name)
    made_of = {name: (name, False) for name in names if not place_of(name).block.isdigit()}
    added = _added(order)
    for number, source in enumerate(order):
        for name in in_blocks[str(source)]:
            zero = number in added and is_writer(re.sub(r"\.(weight|bias)$", "", name))
            made_of[_in_block(name, number)] = (name, zero)
    return made_of


def deepen(config: Any, order: Sequence[int]) -> Any:
    """The config with so many blocks; its lists with one value for each block, as `layer_types`,
    grow likewise."""
    text = config.get_text_config()
    count = len(set(order))
    for key, value in text.to_dict().items():
        if "layer" in key and isinstance(value, list) and len(value) == count:
            setattr(text, key, [value[source] for source in order])
    text.num_hidden_layers = len(order)
    return config


def _added(order: Sequence[int]) -> set[int]:
    """The numbers of the new blocks."""
    return {number for number in range(1, len(order)) if order[number] == order[number - 1]}


def _in_block(name: str, number: int) -> str:
    """The name of a block's tensor in the block `number`."""
    numbered = BLOCK.search(f".{name}")
    assert numbered, name
    return f"{name[: numbered.start(1) - 1]}{number}{name[numbered.end(1) - 1 :]}"


def _difference(base: Weights, expanded: Weights, remote_code: bool) -> float:
    """The largest difference of their logits, as a share of the largest logit."""
    before, after = (
        probe_logits(load_model(weights, remote_code=remote_code).to(device()).eval())
        for weights in (base, expanded)
    )
    return float((after - before).abs().max() / before.abs().max())
