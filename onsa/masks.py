"""Which single entries of which tensors: the one answer to "what may change?"."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onsa.errors import InputError, did_you_mean
from onsa.tensor_file import Shape, read_header, write_tensor_file

Bits = NDArray[np.uint8]

FORMAT = "onsa.mask.1"


def pack(entries: NDArray[np.bool_]) -> Bits:
    """Eight entries to a byte: entry i is bit i % 8 of byte i // 8, the bits left over are 0."""
    return np.packbits(entries, bitorder="little")


def unpack(bits: Bits, entry_count: int) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=entry_count, bitorder="little").view(np.bool_)


def indices(bits: Bits) -> NDArray[np.int64]:
    """The entries set, in order."""
    filled = np.flatnonzero(bits != 0)  # few of the bytes of a core
    within = np.flatnonzero(unpack(bits[filled], filled.size * 8))
    return filled[within >> 3] * 8 + (within & 7)


def count_bits(bits: Bits) -> int:
    whole_words = bits[: bits.size // 8 * 8].view(np.uint64)
    rest = bits[whole_words.size * 8 :]
    return int(np.bitwise_count(whole_words).sum()) + int(np.bitwise_count(rest).sum())


class ParameterMask:
    """A set of single entries over the floating-point tensors of one model; an ordinary value.

    `mask[name]` is a bool tensor of that tensor's shape. It is worked out when asked for, from
    `read_bits(name)`, which gives the packed bits (see `pack`): a mask loaded from a file, and
    whatever is combined from such masks by `|`, `&` and `~`, is never in memory as a whole.
    """

    def __init__(self, shapes: Mapping[str, Shape], read_bits: Callable[[str], Bits]) -> None:
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        self._read_bits = read_bits

    @classmethod
    def nothing(cls, shapes: Mapping[str, Shape]) -> ParameterMask:
        return cls.of_names(shapes, ())

    @classmethod
    def everything(cls, shapes: Mapping[str, Shape]) -> ParameterMask:
        return cls.of_names(shapes, shapes)

    @classmethod
    def of_names(cls, shapes: Mapping[str, Shape], names: Iterable[str]) -> ParameterMask:
        """Every entry of the tensors `names`, none of the others."""
        whole = frozenset(names)
        return cls(shapes, lambda name: _constant(math.prod(shapes[name]), name in whole))

    @classmethod
    def matching(cls, shapes: Mapping[str, Shape], patterns: Iterable[str]) -> ParameterMask:
        """Every entry of the tensors whose whole name fits one of `patterns`.

        A pattern is written as in a shell (`model.layers.*.mlp.*`), or as a regular expression
        after `re:` (`re:.*layers\\.(0|1)\\..*`). One that fits no name is an InputError.
        """
        return cls.of_names(shapes, {n for p in patterns for n in fitting_names(shapes, p)})

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> ParameterMask:
        """From one bool tensor for each name."""
        packed = {name: pack(t.detach().cpu().numpy().reshape(-1)) for name, t in tensors.items()}
        return cls({name: tuple(t.shape) for name, t in tensors.items()}, packed.__getitem__)

    @classmethod
    def of_bits(cls, shapes: Mapping[str, Shape], bits: Mapping[str, Bits]) -> ParameterMask:
        """From packed bits; the tensors that `bits` does not name have no entry set."""
        return cls(
            shapes,
            lambda name: bits[name] if name in bits else _constant(math.prod(shapes[name]), False),
        )

    def bits(self, name: str) -> Bits:
        """The packed bits of one tensor (see `pack`): for reading only."""
        return self._read_bits(name)

    def __getitem__(self, name: str) -> Tensor:
        shape = self.shapes[name]
        return torch.from_numpy(unpack(self.bits(name), math.prod(shape))).reshape(shape)

    def moved(self, shapes: Mapping[str, Shape], names: Mapping[str, str]) -> ParameterMask:
        """The same entries in another model, whose tensor `name` is `names[name]` here.

        Tensors that `names` leaves out have no entry set.
        """

        def read_bits(name: str) -> Bits:
            return self.bits(names[name]) if name in names else _constant(sizes[name], False)

        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        return ParameterMask(shapes, read_bits)

    def __or__(self, other: ParameterMask) -> ParameterMask:
        _require_same_shapes(self, other)
        return ParameterMask(self.shapes, lambda name: self.bits(name) | other.bits(name))

    def __and__(self, other: ParameterMask) -> ParameterMask:
        _require_same_shapes(self, other)
        return ParameterMask(self.shapes, lambda name: self.bits(name) & other.bits(name))

    def __invert__(self) -> ParameterMask:
        def inverted(name: str) -> Bits:
            # Not `~`: the bits left over in the last byte must stay 0.
            return self.bits(name) ^ _constant(math.prod(self.shapes[name]), True)

        return ParameterMask(self.shapes, inverted)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParameterMask):
            return NotImplemented
        return self.shapes == other.shapes and all(
            np.array_equal(self.bits(name), other.bits(name)) for name in self.shapes
        )

    __hash__ = None  # type: ignore[assignment]  # equal by content, which is too long to hash

    def __repr__(self) -> str:
        return f"ParameterMask({len(self.shapes)} tensors, {self.entry_count:,} entries)"

    @property
    def entry_count(self) -> int:
        """All entries, set or not."""
        return sum(map(math.prod, self.shapes.values()))

    @cached_property
    def _counts(self) -> dict[str, int]:
        return {name: count_bits(self.bits(name)) for name in self.shapes}

    def count_by_name(self) -> dict[str, int]:
        """The number of entries set in each tensor."""
        return dict(self._counts)

    @property
    def count(self) -> int:
        """The number of entries set."""
        return sum(self._counts.values())

    @property
    def share(self) -> float:
        """The share of all entries that is set; 0 for a model without entries."""
        return self.count / max(self.entry_count, 1)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, shapes and bits."""
        total = hashlib.sha256()
        for name, shape in self.shapes.items():
            total.update(f"{name}\n{shape}\n".encode())
            total.update(np.ascontiguousarray(self.bits(name)).data)
        return total.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: packed bits; tensors wholly in or out take no space."""
        sizes = {name: math.prod(shape) for name, shape in self.shapes.items()}
        counts = self._counts
        partly = [name for name in sizes if 0 < counts[name] < sizes[name]]
        whole = [name for name in sizes if sizes[name] and counts[name] == sizes[name]]
        write_tensor_file(
            Path(path),
            {name: (torch.uint8, (byte_count(sizes[name]),)) for name in partly},
            lambda name: torch.from_numpy(np.require(self.bits(name), requirements="W")),
            {"format": FORMAT, "shapes": json.dumps(self.shapes), "whole": json.dumps(whole)},
        )

    @classmethod
    def load(cls, path: str | Path) -> ParameterMask:
        """Open a saved mask; each tensor's bits are read when they are asked for."""
        path = Path(path)
        if not path.is_file():
            raise InputError("no such file", where=path, way_out="give a mask that was saved")
        stored, metadata = read_header(path)
        if metadata.get("format") != FORMAT:
            raise InputError("is no saved mask", where=path, way_out="give a mask that was saved")
        shapes = {name: tuple(shape) for name, shape in json.loads(metadata["shapes"]).items()}
        whole = frozenset(json.loads(metadata["whole"]))

        def read_bits(name: str) -> Bits:
            if name in stored:
                return stored[name].read(0, byte_count(math.prod(shapes[name]))).numpy()
            return _constant(math.prod(shapes[name]), name in whole)

        return cls(shapes, read_bits)


def jaccard(a: ParameterMask, b: ParameterMask) -> float:
    """|a ∩ b| / |a ∪ b|; 0 where both are empty."""
    return (a & b).count / max((a | b).count, 1)


def union(shapes: Mapping[str, Shape], masks: Iterable[ParameterMask]) -> ParameterMask:
    """The entries in any of `masks`; nothing if there are none."""
    whole = ParameterMask.nothing(shapes)
    for mask in masks:
        whole = whole | mask
    return whole


def byte_count(entry_count: int) -> int:
    return (entry_count + 7) // 8


def _constant(entry_count: int, value: bool) -> Bits:
    bits = np.full(byte_count(entry_count), 255 if value else 0, dtype=np.uint8)
    if value and entry_count % 8:
        bits[-1] = (1 << entry_count % 8) - 1
    return bits


def _require_same_shapes(a: ParameterMask, b: ParameterMask) -> None:
    if a.shapes != b.shapes:
        raise InputError(
            f"two masks of different models: {a!r} and {b!r}",
            way_out="combine masks made for the same base model",
        )


def fitting_names(shapes: Collection[str], pattern: str) -> list[str]:
    """The names that fit a pattern, see `ParameterMask.matching`; none is an InputError."""
    try:
        written = pattern[3:] if pattern.startswith("re:") else fnmatch.translate(pattern)
        expression = re.compile(written)
    except re.error as fault:
        raise InputError(
            f"the pattern {pattern!r} is no regular expression ({fault})",
            way_out="write it as in a shell, with *, or mend it",
        ) from None
    names = [name for name in shapes if expression.fullmatch(name)]
    if not names:
        kinds = {re.sub(r"\b\d+\b", "*", name) for name in shapes}
        raise InputError(
            f"the pattern {pattern!r} fits no tensor of the model",
            way_out=did_you_mean(pattern, kinds),
        )
    return names
