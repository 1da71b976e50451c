"""One safetensors file: tensors read in part or whole, and written as a stream.

Done here and not by the library: what it maps into memory would count as this process's memory,
and it writes only what is in memory as a whole.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onsa.errors import InputError
from onsa.files import write_beside

Shape = tuple[int, ...]

Layout = Mapping[str, tuple[torch.dtype, Shape]]
"""The dtype and shape of every tensor to be written."""

Source = Callable[[str], Tensor | Iterable[Tensor]]
"""A tensor's name -> the tensor, or the pieces of the flattened tensor in order."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: its file, its first byte there, its dtype and shape."""

    path: Path
    first_byte: int
    dtype: torch.dtype
    shape: Shape

    def read(self, start: int, stop: int, out: Tensor | None = None) -> Tensor:
        """Entries `start` to `stop` of the flattened tensor; in `out`'s dtype if it is given."""
        if out is None:
            out = torch.empty(stop - start, dtype=self.dtype)
        if out.dtype == self.dtype:
            self._read_bytes(start, out)
        else:
            read = scratch("read", stop - start, self.dtype)
            self._read_bytes(start, read)
            out.copy_(read)
        return out

    def _read_bytes(self, start: int, out: Tensor) -> None:
        bytes_left = out.view(torch.uint8).numpy().data
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.first_byte + start * self.dtype.itemsize)
            while bytes_left:  # one call reads at most 2 GB
                count = file.readinto(bytes_left)
                if not count:
                    raise _broken(self.path, "it became shorter while it was read")
                bytes_left = bytes_left[count:]


def scratch(purpose: str, entry_count: int, dtype: torch.dtype) -> Tensor:
    """Memory of this thread to work in, with whatever was left there; good until asked for again.

    New memory costs a page fault every 4 kB, which takes as long as reading into it.
    """
    size = entry_count * dtype.itemsize
    memory = _of_thread.__dict__.get(purpose)
    if memory is None or memory.numel() < size:
        memory = _of_thread.__dict__[purpose] = torch.empty(size, dtype=torch.uint8)
    return memory[:size].view(dtype)


_of_thread = threading.local()


def read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors of one safetensors file, and the words kept with them (`__metadata__`)."""
    with path.open("rb") as file:
        file_bytes = path.stat().st_size
        header_bytes = int.from_bytes(file.read(8), "little")
        if file_bytes < 8 or header_bytes > min(file_bytes - 8, LONGEST_HEADER_BYTES):
            raise _broken(path, "it ends within its header, or is no safetensors file")
        try:
            header = json.loads(file.read(header_bytes))
            metadata = header.pop("__metadata__", None) or {}
            stored = {
                name: _stored_tensor(path, 8 + header_bytes, name, entry)
                for name, entry in header.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            if isinstance(fault, InputError):
                raise
            raise _broken(path, "its header cannot be read") from None
    needed = max((t.first_byte + byte_size(t.dtype, t.shape) for t in stored.values()), default=0)
    if needed > file_bytes:
        raise _broken(path, f"it ends after {file_bytes:,} of {needed:,} bytes")
    return stored, metadata


def _stored_tensor(path: Path, data_start: int, name: str, entry: Any) -> StoredTensor:
    if entry["dtype"] not in DTYPES:
        raise InputError(
            f"tensor {name!r} has the dtype {entry['dtype']}, which is not read here",
            where=path,
            way_out="save the checkpoint as bfloat16, float16 or float32",
        )
    begin, end = entry["data_offsets"]
    tensor = StoredTensor(
        path, data_start + begin, DTYPES[entry["dtype"]], tuple(map(int, entry["shape"]))
    )
    if begin < 0 or min(tensor.shape, default=0) < 0:
        raise ValueError("negative offset or size")
    if end - begin != byte_size(tensor.dtype, tensor.shape):
        raise _broken(path, f"tensor {name!r} has another size than its shape says")
    return tensor


def _broken(path: Path, what: str) -> InputError:
    return InputError(
        f"a broken safetensors file: {what}", where=path, way_out="copy or download it again"
    )


def byte_size(dtype: torch.dtype, shape: Shape) -> int:
    return math.prod(shape) * dtype.itemsize


def write_tensor_file(
    path: Path, layout: Layout, source: Source, metadata: Mapping[str, str]
) -> None:
    """Write one safetensors file: the header from `layout`, then the values from `source`."""
    # Wide dtypes first, so that every tensor starts at a multiple of its own entry size.
    names = sorted(layout, key=lambda name: (-layout[name][0].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        dtype, shape = layout[name]
        begin, end = end, end + byte_size(dtype, shape)
        header[name] = {
            "dtype": DTYPE_NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with write_beside(path) as beside, beside.open("wb", buffering=0) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            written = sum(
                _write_piece(file, piece, layout[name][0]) for piece in _pieces(source(name))
            )
            assert written == byte_size(*layout[name]), f"{name}: {written} bytes"


def _pieces(value: Tensor | Iterable[Tensor]) -> Iterable[Tensor]:
    return [value] if isinstance(value, Tensor) else value


def _write_piece(file: Any, piece: Tensor, dtype: torch.dtype) -> int:
    assert piece.dtype == dtype, f"{piece.dtype} where the layout says {dtype}"
    flat = piece.detach().cpu().contiguous().reshape(-1)
    bytes_left = flat.view(torch.uint8).numpy().data
    while bytes_left:  # one call writes at most 2 GB
        bytes_left = bytes_left[file.write(bytes_left) :]
    return flat.numel() * dtype.itemsize
