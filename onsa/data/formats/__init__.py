"""Shapes of rows: each is one file in this folder, found by looking; there is no list to edit.

A file `alpaca.py` holds `FORMAT = Format(name, shape, matches, convert)`. A row belongs to the one
format that matches it; where two match, the user is asked to name one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from onsa.data.example import Example
from onsa.data.formats._rows import shown_columns
from onsa.errors import InputError, did_you_mean

Row = dict[str, Any]
Convert = Callable[[Row, str], list[Example]]


@dataclass(frozen=True)
class Format:
    """One shape of row: `convert(row, source)` makes its examples, or raises InputError."""

    name: str
    shape: str
    matches: Callable[[Row], bool]
    convert: Convert


@cache
def all_formats() -> dict[str, Format]:
    """Every format in this folder, by name; files that begin with `_` hold no format."""
    names = [item.name for item in pkgutil.iter_modules(__path__) if item.name[0] != "_"]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(names)]
    return {module.FORMAT.name: module.FORMAT for module in modules}


def named_format(name: str) -> Format:
    if name not in all_formats():
        raise InputError(
            f"unknown format {name!r}", where="format", way_out=did_you_mean(name, all_formats())
        )
    return all_formats()[name]


def format_of(row: Row, source: str) -> Format:
    """The format of a row.

    Raises:
        InputError: none matches, or two do, or the row is feedback on replies that were not liked.
    """
    _refuse_feedback(row, source)
    found = [shape for shape in all_formats().values() if shape.matches(row)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(shape.name for shape in found)
        raise InputError(
            f"the row can be read as {names}", where=source, way_out="name one with 'format:'"
        )
    shapes = " | ".join(shape.shape for shape in all_formats().values())
    raise InputError(
        f"the row has {shown_columns(row)}, which is no shape known here ({shapes})",
        where=source,
        way_out="say which columns to take: 'columns: {prompt: ..., reply: ...}'; "
        "numbers count the columns of a table without a header",
    )


def _refuse_feedback(row: Row, source: str) -> None:
    """Preference data hold replies that were rejected: never train on them unasked."""
    is_pair = "chosen" in row and "rejected" in row
    if is_pair or isinstance(row.get("label"), bool):
        raise InputError(
            f"the row is feedback on replies ({'chosen, rejected' if is_pair else 'label'})",
            where=source,
            way_out="keep only the liked replies, or name the shape with 'format:' or 'columns:'",
        )
