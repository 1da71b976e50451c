"""Kinds of data file: each is one file in this folder, found by looking; there is no list to edit.

A file `parquet.py` holds `KIND = FileKind(name, endings, rows)`. Files are taken to be hostile:
nothing in them may raise anything but InputError, and what is in memory of one is bounded. Each may
be packed (.gz, .xz, .bz2, .zst).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from onsa.data.files._compression import packing_of
from onsa.data.files._opened import DataFile, faults_told, peeked
from onsa.errors import InputError

Row = dict[str, Any]
Rows = Iterator[tuple[Row, str]]
"""Rows with their sources (`train.jsonl:17`)."""

SPLIT_ENDING = re.compile(r"\.(train|test|dev|valid|validation|eval)$")


@dataclass(frozen=True)
class FileKind:
    """One kind of file; `rows(file)` reads it as a stream."""

    name: str
    endings: tuple[str, ...]
    rows: Callable[[DataFile], Rows]


@cache
def all_file_kinds() -> dict[str, FileKind]:
    """Every kind in this folder, by its endings; files that begin with `_` hold no kind."""
    names = [item.name for item in pkgutil.iter_modules(__path__) if item.name[0] != "_"]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(names)]
    return {ending: module.KIND for module in modules for ending in module.KIND.endings}


def ending_of(name: str) -> str:
    """The ending that tells what a file holds (`.json`, also in `x.json.gz`), or nothing.

    A split may stand after it, as in `x.txt.dev`.
    """
    plain = name.lower()
    plain = SPLIT_ENDING.sub("", plain.removesuffix(packing_of(plain)))
    return next((ending for ending in all_file_kinds() if plain.endswith(ending)), "")


def file_rows(file: DataFile) -> Rows:
    """The rows of one file, at least one.

    Raises:
        InputError: as the rows are read.
    """
    count = 0
    kind = all_file_kinds().get(ending_of(file.path.name))
    with faults_told(file.name):
        for row, source in kind.rows(file) if kind else _unnamed(file):
            count += 1
            yield row, source
    if count == 0:
        raise InputError("no rows in the file", where=file.name, way_out="give other data")


def _unnamed(file: DataFile) -> Rows:
    """Rows of a file without an ending that is known: JSON is known by its looks."""
    from onsa.data.files.json_file import looks_like_json, rows_of

    start, blocks = peeked(file.text())
    if not looks_like_json(start):
        raise InputError(
            "unknown kind of file",
            where=file.name,
            way_out=f"give {', '.join(all_file_kinds())}, or JSON lines",
        )
    yield from rows_of(blocks, file.name)
