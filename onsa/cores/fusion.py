"""One model from several: each task's core as it is, the rest blended (arXiv:2508.21741)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from onsa.cores.blends import Blend, Models, Piece, Values, prepare
from onsa.cores.rules import Rules
from onsa.errors import InputError
from onsa.masks import Bits, ParameterMask, byte_count, count_bits, indices
from onsa.models.head_names import owner_of
from onsa.weight_ops import in_order, pieces
from onsa.weights import Weights, require_same_tensors, write_weights

Conflict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(values, updates, members), each (tasks, entries) -> the value of every entry."""

conflicts: Rules[Conflict] = Rules("conflict rule")


@conflicts
def larger_update(values: Tensor, updates: Tensor, members: Tensor) -> Tensor:
    """An entry in several cores goes to the task that moved it most; to the first of equals."""
    winner = torch.where(members, updates.abs(), -1).max(0, keepdim=True).indices
    return values.gather(0, winner)[0]


@conflicts
def mean(values: Tensor, updates: Tensor, members: Tensor) -> Tensor:
    """An entry in several cores becomes the mean of their tasks' values."""
    return torch.where(members, values, 0).sum(0) / members.sum(0)


@conflicts
def last(values: Tensor, updates: Tensor, members: Tensor) -> Tensor:
    """An entry in several cores goes to the last of their tasks."""
    winner = len(members) - 1 - members.flip(0).int().max(0, keepdim=True).indices
    return values.gather(0, winner)[0]


class Fusion(NamedTuple):
    """The fused model, and the record of how each of its tensors came about (plain JSON)."""

    weights: Weights
    record: dict[str, Any]


def fuse(
    folder: str | Path,
    base: Weights,
    tuned: Mapping[str, Weights],
    cores: Mapping[str, ParameterMask],
    *,
    blend: str = "slerp",
    conflict: str = "larger_update",
    max_shard_bytes: int = 5_000_000_000,
    **settings: float,
) -> Fusion:
    """Blend the tuned models, set every task's core to its own values, and write the result.

    Tasks in the order of `tuned`; `cores` names the same tasks, or is empty for no transplant.
    `settings` are the blend's own. Buffers that are not floating-point are the base model's.
    """
    require_fusable(Path(folder), base, tuned, cores)
    models = Models(base, tuple(tuned.values()))
    prepared, resolve = prepare(models, blend, settings), conflicts[conflict]
    masks = [cores[task] for task in tuned] if cores else []
    tensors: dict[str, dict[str, Any]] = {}

    def fused(name: str) -> Iterator[Tensor]:
        if name not in base.float_shapes:
            tensors[name] = {"branch": "copied"}
            return (base.read(*place) for place in pieces({name: base.shapes[name]}))
        owner = owner_of(name)
        if owner is not None:  # a head belongs to its task alone
            tensors[name] = {"branch": "own"}
            weights = tuned.get(owner, base)
            return (weights.read(*place) for place in pieces({name: base.shapes[name]}))
        tensors[name] = {}
        return _fused_tensor(models, name, prepared, masks, resolve, tensors[name])

    layout = {
        name: (models.dtype(name) if name in base.float_shapes else base.dtypes[name], shape)
        for name, shape in base.shapes.items()
    }
    weights = write_weights(folder, layout, fused, max_shard_bytes=max_shard_bytes)
    return Fusion(
        weights,
        {
            "tasks": list(tuned),
            "blend": blend,
            "settings": settings,
            "conflict": conflict,
            "branches": dict(Counter(entry["branch"] for entry in tensors.values())),
            "transplanted": sum(entry.get("transplanted", 0) for entry in tensors.values()),
            "conflicts": sum(entry.get("conflicts", 0) for entry in tensors.values()),
            "tensors": {name: tensors[name] for name in base.names},
        },
    )


def require_fusable(
    folder: Path,
    base: Weights,
    tuned: Mapping[str, Weights],
    cores: Mapping[str, ParameterMask],
) -> None:
    assert tuned, "nothing to fuse"
    assert not cores or set(cores) == set(tuned), "cores of other tasks than the tuned models'"
    for weights in (base, *tuned.values()):
        require_same_tensors(base, weights)
        if folder.resolve() == weights.folder.resolve():
            raise InputError(
                "would be overwritten while it is read", where=folder, way_out="write elsewhere"
            )
    for task, core in cores.items():
        if core.shapes != base.float_shapes:
            raise InputError(
                f"the core of task {task!r} is of another model",
                where=base.folder,
                way_out="find the core again from this base model",
            )


def _fused_tensor(
    models: Models,
    name: str,
    blend: Blend,
    masks: list[ParameterMask],
    resolve: Conflict,
    record: dict[str, Any],
) -> Iterator[Tensor]:
    """The pieces of one fused tensor; `record` is complete after the last."""
    values, said = blend(name)
    record |= {**said, "transplanted": 0, "conflicts": 0}
    bits = [mask.bits(name) for mask in masks]
    job = partial(_fused_piece, models, values, bits, resolve)
    for entries, transplanted, in_conflict in in_order(
        job, pieces({name: models.base.shapes[name]})
    ):
        record["transplanted"] += transplanted
        record["conflicts"] += in_conflict
        yield entries


def _fused_piece(
    models: Models, values: Values, bits: list[Bits], resolve: Conflict, *place: Any
) -> tuple[Tensor, int, int]:
    piece = models.piece(*place)
    entries = values(piece).to(models.dtype(piece.name))
    counts = _transplant(entries, piece, [piece.cut(part) for part in bits], resolve)
    return entries, *counts


def _transplant(
    entries: Tensor, piece: Piece, cores: list[Bits], resolve: Conflict
) -> tuple[int, int]:
    """Set the entries of every core in place; how many there are, and how many are in several."""
    several = np.zeros(byte_count(entries.numel()), dtype=np.uint8)
    any_core = several.copy()
    for own_values, core in zip(piece.tuned, cores, strict=False):
        chosen = torch.from_numpy(indices(core))
        entries.index_copy_(0, chosen, own_values.index_select(0, chosen).to(entries.dtype))
        several |= any_core & core
        any_core |= core
    if several.any():
        disputed = indices(several)
        members = np.stack([core[disputed >> 3] >> (disputed & 7) & 1 for core in cores])
        chosen = torch.from_numpy(disputed)
        values = piece.values.index_select(1, chosen)
        is_member = torch.from_numpy(members).bool()
        resolved = resolve(values[1:], values[1:] - values[0], is_member)
        entries.index_copy_(0, chosen, resolved.to(entries.dtype))
    return count_bits(any_core), count_bits(several)
