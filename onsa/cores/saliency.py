"""What makes an entry part of a task's core: saliency rules, chosen by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from onsa.cores.rules import Rules
from onsa.errors import InputError
from onsa.masks import Bits, ParameterMask
from onsa.models.head_names import shared
from onsa.weight_ops import (
    Shapes,
    count_of_share,
    entry_count,
    in_order,
    pieces,
    random_entries,
    require_share,
    top_share,
)
from onsa.weights import Weights, require_same_tensors

SMALLEST_RMS = 1e-3  # of a tensor for `relative`, as in Adafactor (arXiv:1804.04235, ε₂)

# Input and output embeddings by the names that model families give them. Only matrices count:
# BERT's embeddings.LayerNorm, the dense matrix below RoBERTa's head and a vision model's patch
# convolution are no embeddings.
EMBEDDING_NAMES = re.compile(r"(^|[._])(\w*embed\w*|wte|wpe|shared|lm_head(?!\.dense))\.")


@dataclass(frozen=True)
class Change:
    """A base model and what a task's probe made of it."""

    base: Weights
    tuned: Weights
    seed: int = 0
    second_moment: Weights | None = None

    @property
    def shapes(self) -> Shapes:
        return shared(self.base.float_shapes)

    def update(self, name: str, start: int, stop: int) -> Tensor:
        """|tuned - base| in float32."""
        base, tuned = torch.empty(2, stop - start)
        self.base.read(name, start, stop, out=base)
        self.tuned.read(name, start, stop, out=tuned)
        return tuned.sub_(base).abs_()


saliency: Rules[Callable[[Change, float], ParameterMask]] = Rules("saliency rule")


def core_region(
    base: Weights,
    tuned: Weights,
    share: float,
    rule: str = "update",
    *,
    seed: int = 0,
    second_moment: Weights | None = None,
) -> ParameterMask:
    """The core of a task: the `share` of all entries with the largest saliency.

    Of what the tasks share: a head is new, moves most, and belongs to its task anyway.

    `second_moment` holds Adam's v̂ of the probe under the model's tensor names; `adam` needs it.
    """
    require_share(share, "the core's share")
    chosen = saliency[rule]
    require_same_tensors(base, tuned)
    change = Change(base, tuned, seed, second_moment)
    core = chosen(change, share)
    if len(change.shapes) == len(base.float_shapes):
        return core
    bits = {name: core.bits(name) for name in change.shapes}
    return ParameterMask.of_bits(base.float_shapes, bits)


@saliency
def update(change: Change, share: float) -> ParameterMask:
    """The largest updates |Δ| over the whole model (arXiv:2508.21741)."""
    return top_share(change.shapes, change.update, share)


@saliency
def adam(change: Change, share: float) -> ParameterMask:
    """The largest Δ²·v̂ with the probe's own second moment (arXiv:2509.11167)."""
    second_moment = change.second_moment
    if second_moment is None:
        raise InputError(
            "the saliency rule 'adam' needs the second moment of the probe's optimizer",
            way_out="keep it with the probe, or choose 'update'",
        )
    require_same_tensors(change.base, second_moment)

    def curved(name: str, start: int, stop: int) -> Tensor:
        # |Δ|·√v̂ has the order of Δ²·v̂, which float32 cannot hold: v̂ may be 1e-20.
        moment = second_moment.read(name, start, stop).float()
        return moment.sqrt_().mul_(change.update(name, start, stop))

    return top_share(change.shapes, curved, share)


@saliency
def within_tensor(change: Change, share: float) -> ParameterMask:
    """The largest updates of each tensor, the same share in every one."""
    bits: dict[str, Bits] = {}
    for name, shape in change.shapes.items():
        bits[name] = top_share({name: shape}, change.update, share).bits(name)
    return ParameterMask.of_bits(change.shapes, bits)


@saliency
def without_embeddings(change: Change, share: float) -> ParameterMask:
    """The largest updates outside the input and output embeddings; the share is of the rest."""
    rest = {
        name: shape
        for name, shape in change.shapes.items()
        if len(shape) != 2 or not EMBEDDING_NAMES.search(name)
    }
    if len(rest) == len(change.shapes):
        raise InputError(
            "no tensor has the name of an embedding",
            where=change.base.folder,
            way_out="choose the saliency rule 'update'",
        )
    core = top_share(rest, change.update, share)
    return ParameterMask.of_bits(change.shapes, {name: core.bits(name) for name in rest})


@saliency
def relative(change: Change, share: float) -> ParameterMask:
    """The largest updates relative to the size (RMS) of the base model's tensor."""

    jobs = ((change.base, name) for name in change.shapes)
    sizes = dict(zip(change.shapes, in_order(_root_mean_square, jobs), strict=True))

    def relative_update(name: str, start: int, stop: int) -> Tensor:
        return change.update(name, start, stop).div_(max(sizes[name], SMALLEST_RMS))

    return top_share(change.shapes, relative_update, share)


@saliency
def random(change: Change, share: float) -> ParameterMask:
    """Entries drawn at random: the control that every claim about cores needs."""
    count = count_of_share(share, entry_count(change.shapes))
    return random_entries(change.shapes, count, change.seed)


def _root_mean_square(weights: Weights, name: str) -> float:
    size = math.prod(weights.shapes[name])
    total = 0.0
    for _, start, stop in pieces({name: weights.shapes[name]}):
        entries = weights.read(name, start, stop).float()
        total += float(torch.dot(entries, entries))
    return math.sqrt(total / max(size, 1))
