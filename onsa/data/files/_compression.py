"""The bytes of a file, unpacked where its name says that it is packed: .gz, .xz, .bz2, .zst.

The readers of the standard library leave out, without a word, what follows the first part of a
.bz2 or .xz file when it is damaged, and that of zstandard the end of a file that is cut short. All
four are therefore read here, by one rule: each part must be whole, and only zeros may follow.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from onsa.extras import import_extra

BLOCK_BYTES = 1 << 18
MOST_MEMORY = 1 << 29  # that a dictionary of .xz may ask for, in bytes


class Unpacker(Protocol):
    """One part of a packed file, as the standard library's `BZ2Decompressor` unpacks it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Gzip:
    """`zlib`, with the manners of `BZ2Decompressor`."""

    def __init__(self) -> None:
        self._part = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._part.eof

    @property
    def needs_input(self) -> bool:
        return not self._part.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._part.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._part.decompress(self._part.unconsumed_tail + data, max_length)


class Zstandard:
    """`zstandard`, with the manners of `BZ2Decompressor`; it gives out a block at once."""

    needs_input = True

    def __init__(self) -> None:
        library = import_extra("zstandard", "zstandard", "data")
        self._part: Any = library.ZstdDecompressor().decompressobj()
        self._fault = library.ZstdError

    @property
    def eof(self) -> bool:
        return bool(self._part.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._part.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            return bytes(self._part.decompress(data))
        except self._fault as fault:
            raise OSError(str(fault)) from None


PACKINGS: dict[str, Callable[[], Unpacker]] = {
    ".gz": Gzip,
    ".xz": lambda: lzma.LZMADecompressor(memlimit=MOST_MEMORY),
    ".bz2": bz2.BZ2Decompressor,
    ".zst": Zstandard,
}
# Bytes read at once: .zst has no limit for what a block gives, and packs up to 30 000 to 1.
READ_BYTES = {".zst": 1 << 10}
FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError)


def packing_of(name: str) -> str:
    """The ending of a packed file (`.gz`), or nothing."""
    return next((ending for ending in PACKINGS if name.lower().endswith(ending)), "")


def unpacked(path: Path) -> Iterator[bytes]:
    """The content of a file in blocks, none of them empty.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError: the file cannot be read or is damaged.
    """
    packing = packing_of(path.name)
    with path.open("rb") as stream:
        if packing:
            yield from _parts(stream, PACKINGS[packing], READ_BYTES.get(packing, BLOCK_BYTES))
        else:
            while block := stream.read(BLOCK_BYTES):
                yield block


def _parts(stream: IO[bytes], new: Callable[[], Unpacker], read_bytes: int) -> Iterator[bytes]:
    part, data, begun, ended = new(), b"", True, False
    while not ended:
        if part.eof:
            part, data, begun = new(), part.unused_data.lstrip(b"\0"), False
        if not data and part.needs_input:
            data = stream.read(read_bytes)
            ended = not data
            data = data if begun else data.lstrip(b"\0")
        begun = begun or bool(data)
        block = part.decompress(data, BLOCK_BYTES)
        data = b""
        if block:
            yield block
            ended = False  # what is left inside comes with the next turn
    if begun and not part.eof:
        raise EOFError("it ends too early")
