"""Checkpoint folders: read one tensor, or a part of one, at a time; written as a stream."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from onsa.errors import InputError
from onsa.files import read_json, write_json
from onsa.tensor_file import (
    DTYPE_NAMES,
    Layout,
    Shape,
    Source,
    StoredTensor,
    byte_size,
    read_header,
    write_tensor_file,
)

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


class Weights:
    """A checkpoint folder: `model.safetensors`, or shards with `model.safetensors.index.json`.

    Nothing is kept in memory but where each tensor lies. Names are in alphabetical order. Only
    floating-point tensors hold entries that count; integer and bool tensors are buffers. A tied
    tensor counts once, as it is stored once.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._stored = dict(sorted(_open_folder(self.folder).items()))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._stored)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every tensor, buffers included."""
        return {name: stored.shape for name, stored in self._stored.items()}

    @cached_property
    def dtypes(self) -> dict[str, torch.dtype]:
        return {name: stored.dtype for name, stored in self._stored.items()}

    @cached_property
    def float_shapes(self) -> dict[str, Shape]:
        """The shapes of the floating-point tensors: what a `ParameterMask` of this model covers."""
        return {
            name: shape
            for name, shape in self.shapes.items()
            if self.dtypes[name].is_floating_point
        }

    @property
    def entry_count(self) -> int:
        """The floating-point entries of the model: its parameters, a tied one counted once."""
        return sum(map(math.prod, self.float_shapes.values()))

    def __getitem__(self, name: str) -> Tensor:
        shape = self.shapes[name]
        return self._stored[name].read(0, math.prod(shape)).reshape(shape)

    def read(self, name: str, start: int, stop: int, out: Tensor | None = None) -> Tensor:
        """Entries `start` to `stop` of the flattened tensor; in `out`'s dtype if it is given."""
        return self._stored[name].read(start, stop, out)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, dtypes, shapes and values, however they are cut into shards."""
        total = hashlib.sha256()
        for name, stored in self._stored.items():
            total.update(f"{name}\n{DTYPE_NAMES[stored.dtype]}{stored.shape}\n".encode())
            size, step = math.prod(stored.shape), 1 << 22
            for start in range(0, size, step):
                entries = stored.read(start, min(start + step, size))
                total.update(entries.view(torch.uint8).numpy().data)
        return total.hexdigest()


def _open_folder(folder: Path) -> dict[str, StoredTensor]:
    if (folder / SINGLE_FILE).is_file():
        return read_header(folder / SINGLE_FILE)[0]
    if (folder / INDEX_FILE).is_file():
        return _open_shards(folder / INDEX_FILE)
    raise InputError(
        f"holds neither {SINGLE_FILE} nor {INDEX_FILE}" if folder.is_dir() else "no such folder",
        where=folder,
        way_out="give a folder saved with save_pretrained(..., safe_serialization=True)",
    )


def _open_shards(index_path: Path) -> dict[str, StoredTensor]:
    index = read_json(index_path)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError("has no weight_map", where=index_path, way_out="copy or download it again")
    shard_of = {str(name): str(shard) for name, shard in weight_map.items()}
    shards: dict[str, dict[str, StoredTensor]] = {}
    for shard in sorted(set(shard_of.values())):
        path = index_path.parent / shard
        if Path(shard).name != shard or not path.is_file():
            raise InputError(
                f"the shard {shard!r} is missing", where=index_path, way_out="copy it there again"
            )
        shards[shard] = read_header(path)[0]
    for name, shard in shard_of.items():
        if name not in shards[shard]:
            raise InputError(
                f"tensor {name!r} is not in {shard}, where the index puts it",
                where=index_path,
                way_out="copy or download the folder again",
            )
    return {name: shards[shard][name] for name, shard in shard_of.items()}


def require_same_tensors(base: Weights, other: Weights) -> None:
    """Raise InputError unless both have the same names, shapes and floating-point tensors."""
    for name in sorted({*base.names, *other.names}):
        for weights, counterpart in ((base, other), (other, base)):
            if name not in weights.shapes:
                raise InputError(
                    f"tensor {name!r} is missing; {counterpart.folder} has it",
                    where=weights.folder,
                    way_out="tune from this base model and save with the same tying",
                )
        if base.shapes[name] != other.shapes[name]:
            raise InputError(
                f"tensor {name!r} has the shape {other.shapes[name]}, not {base.shapes[name]} "
                f"as in {base.folder}",
                where=other.folder,
                way_out="both must be the same model",
            )
        if (name in base.float_shapes) != (name in other.float_shapes):
            raise InputError(
                f"tensor {name!r} is {other.dtypes[name]}, but {base.dtypes[name]} in "
                f"{base.folder}",
                where=other.folder,
                way_out="compare unquantised checkpoints",
            )


def write_weights(
    folder: str | Path, layout: Layout, source: Source, *, max_shard_bytes: int = 5_000_000_000
) -> Weights:
    """Write a checkpoint folder, streaming: `source(name)` gives a tensor, or its pieces in turn.

    `layout` gives dtype and shape of every tensor, so that each header can be written first. The
    values of `source` must have that dtype; pieces are parts of the flattened tensor, in order.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards = _cut_into_shards(layout, max_shard_bytes)
    files = [SINGLE_FILE]
    if len(shards) > 1:
        files = [
            f"model-{number:05}-of-{len(shards):05}.safetensors"
            for number in range(1, len(shards) + 1)
        ]
    for file, names in zip(files, shards, strict=True):
        write_tensor_file(
            folder / file, {name: layout[name] for name in names}, source, {"format": "pt"}
        )
    if len(shards) > 1:
        weight_map = {n: file for file, names in zip(files, shards, strict=True) for n in names}
        total = sum(byte_size(*entry) for entry in layout.values())
        write_json(
            folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map}
        )
    _remove_older(folder, keep={*files, *([INDEX_FILE] if len(shards) > 1 else [])})
    return Weights(folder)


def _cut_into_shards(layout: Layout, max_shard_bytes: int) -> list[list[str]]:
    """Names in alphabetical order, cut before the tensor that would not fit."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name in sorted(layout):
        size = byte_size(*layout[name])
        if shards[-1] and filled + size > max_shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _remove_older(folder: Path, keep: set[str]) -> None:
    """Remove the weights that were in the folder before: a reader might take them instead."""
    for path in [*folder.glob("model*.safetensors"), *folder.glob(INDEX_FILE)]:
        if path.name not in keep:
            path.unlink()
