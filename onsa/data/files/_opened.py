"""A data file that is about to be read: its text in blocks or lines, or its bytes to seek in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

from onsa.data.files._compression import FAULTS, packing_of, unpacked
from onsa.data.files._encoding import decoded
from onsa.errors import InputError

LONGEST_ROW = 1 << 24  # in characters: what may be in memory of a text file at once
PEEKED = 1 << 14  # characters that tell what a text is
Facts = dict[str, list[str]]
"""What was found out about files and not told by the user ("Shift-JIS") -> their names."""


@dataclass(frozen=True)
class DataFile:
    """A file with rows in it; `name` is what messages call it.

    Without `header` the columns of tables are named 1, 2, ... `encoding` is found by looking where
    it is None. What a kind of file finds out by looking, and people should know, goes to `facts`.
    """

    path: Path
    name: str
    header: bool = True
    encoding: str | None = None
    facts: Facts = field(default_factory=dict)

    def say(self, fact: str) -> None:
        names = self.facts.setdefault(fact, [])
        if self.name not in names:
            names.append(self.name)

    def text(self) -> Iterator[str]:
        """Its text in blocks, not cut at lines."""
        return decoded(unpacked(self.path), self.name, self.encoding, self.say)

    @contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        """Its bytes, unpacked on disk where it is packed."""
        if not packing_of(self.path.name):
            with self.path.open("rb") as stream:
                yield stream
            return
        with tempfile.TemporaryFile() as stream:
            for block in unpacked(self.path):
                stream.write(block)
            stream.seek(0)
            yield stream


@contextmanager
def faults_told(where: str) -> Iterator[None]:
    """Faults of the file system and of packed files become InputError."""
    try:
        yield
    except FAULTS as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise InputError(
            f"cannot be read ({reason})", where=where, way_out="check the file and its permissions"
        ) from None


def peeked(blocks: Iterator[str]) -> tuple[str, Iterator[str]]:
    """The beginning, all of it where it is shorter than `PEEKED`, and all blocks."""
    seen: list[str] = []
    length = 0
    for block in blocks:
        seen.append(block)
        length += len(block)
        if length >= PEEKED:
            break
    return "".join(seen), chain(seen, blocks)


def lines_of(blocks: Iterator[str], name: str) -> Iterator[tuple[int, str]]:
    """The lines, each with its number and, but for the last, with its end."""
    number, begun, length = 1, [], 0
    for block in blocks:
        first, *others = block.split("\n")
        begun.append(first)
        length += len(first)
        if length > LONGEST_ROW:
            raise too_long(f"{name}:{number}")
        for other in others:
            yield number, "".join(begun) + "\n"
            number, begun, length = number + 1, [other], len(other)
    if length:
        yield number, "".join(begun)


class TooLongError(InputError):
    """A row that would not fit into the memory that one may take."""


def too_long(where: str) -> TooLongError:
    return TooLongError(
        f"a row of more than {LONGEST_ROW:,} characters",
        where=where,
        way_out="check that each row ends; cut longer texts up",
    )
