"""Which parameters a training changes, and how fast: by part, by block, by pattern."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from onsa.errors import InputError
from onsa.masks import ParameterMask, fitting_names
from onsa.models.places import place_of
from onsa.recipe.training import Training
from onsa.weight_ops import Shapes

Part = Literal["embedding", "attention", "mlp", "norm", "head", "bias"]
RateOf = Callable[[str, float], float]
"""(a parameter's name, the learning rate) -> the parameter's own learning rate."""


def block_count(shapes: Iterable[str]) -> int:
    """The number of blocks of a model, by the names of its parameters."""
    numbers = [int(block) for name in shapes if (block := place_of(name).block).isdigit()]
    return max(numbers, default=-1) + 1


def depth_of(name: str, blocks: int) -> int:
    """0 for the embedding, 1 to `blocks` for the blocks, `blocks` + 1 for what is above them."""
    block = place_of(name).block
    if block.isdigit():
        return int(block) + 1
    return 0 if block == "embedding" else blocks + 1


def tied_head(shapes: Shapes) -> str | None:
    """The word embedding, where it is the head's matrix as well; None where that is another."""
    roles = {name: place_of(name).role for name in shapes}
    words = [n for n in shapes if roles[n] == "embedding" and not re.search(r"wpe|position", n)]
    largest = max(words, key=lambda name: math.prod(shapes[name]), default=None)
    heads = {shapes[name] for name in shapes if roles[name] == "head"}
    return None if largest is None or shapes[largest] in heads else largest


def choose(
    shapes: Shapes,
    parts: Sequence[Part] = (),
    patterns: Sequence[str] = (),
    first_blocks: int | None = None,
    last_blocks: int | None = None,
) -> ParameterMask:
    """The tensors of the given parts or patterns (all, if neither is given), of the given blocks.

    Blocks limit what is chosen to themselves: with them, embedding, last norm and head are out.

    Raises:
        InputError: a part or pattern that the model does not have, or nothing chosen in the end.
    """
    chosen = set(shapes)
    if parts or patterns:
        chosen = {name for part in parts for name in _of_part(shapes, part)}
        chosen |= {name for pattern in patterns for name in fitting_names(shapes, pattern)}
    if first_blocks is not None or last_blocks is not None:
        chosen &= _in_blocks(shapes, first_blocks or 0, last_blocks or 0)
    if not chosen:
        raise InputError(
            "nothing is left to train", way_out="choose other parts, or other blocks, or both"
        )
    return ParameterMask.of_names(shapes, chosen)


def _of_part(shapes: Shapes, part: Part) -> set[str]:
    if part == "bias":
        found = {name for name in shapes if name.endswith("bias")}
    else:
        found = {name for name in shapes if place_of(name).role == part}
    if not found:
        raise InputError(f"the model has no {part} of its own", way_out=_instead(part))
    return found


def _instead(part: Part) -> str:
    if part == "head":
        return "its head is the embedding, tied: choose 'embedding'"
    return "choose another part: 'onsa check' shows what there is"


def _in_blocks(shapes: Shapes, first: int, last: int) -> set[str]:
    blocks = block_count(shapes)
    if max(first, last) > blocks:
        raise InputError(
            f"{max(first, last)} blocks are asked for", way_out=f"the model has {blocks}"
        )
    wanted = {*range(1, first + 1), *range(blocks - last + 1, blocks + 1)}
    return {name for name in shapes if depth_of(name, blocks) in wanted}


def rates(shapes: Shapes, training: Training) -> RateOf | None:
    """Each parameter's learning rate by `layer_decay` and `learning_rates`; None if all are alike.

    The rate falls by the decay from each block to the one below it (arXiv:1801.06146), and once
    more to the embedding; what lies above the blocks has the full rate. A parameter that fits
    patterns has the rate of the last of them, whatever its depth.

    Raises:
        InputError: a pattern that fits no parameter.
    """
    if training.layer_decay == 1 and not training.learning_rates:
        return None
    blocks = block_count(shapes)
    own: dict[str, float] = {}
    for pattern, rate in training.learning_rates.items():
        own |= dict.fromkeys(fitting_names(shapes, pattern), rate)

    def rate_of(name: str, rate: float) -> float:
        if name in own:
            return own[name]
        return rate * math.pow(training.layer_decay, blocks + 1 - depth_of(name, blocks))

    return rate_of
