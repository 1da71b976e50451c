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
from onsa.data.formats._likely import has_names, likely_readings
from onsa.data.formats._rows import shown_columns, shown_row
from onsa.errors import InputError, did_you_mean

Row = dict[str, Any]
Convert = Callable[[Row, str], list[Example]]


@dataclass(frozen=True)
class Format:
    """One shape of row: `convert(row, source)` makes its examples, or raises InputError.

    Rows of `feedback` hold replies that were not liked, those `unanswered` no replies: both are
    read for kinds of task alone that ask for them, and never trained on like others.
    """

    name: str
    shape: str
    matches: Callable[[Row], bool]
    convert: Convert
    feedback: bool = False
    unanswered: bool = False


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


def is_known(row: Row) -> bool:
    """Whether a row has some known shape."""
    return any(shape.matches(row) for shape in all_formats().values())


def format_of(row: Row, source: str, *, feedback: bool = False, unanswered: bool = False) -> Format:
    """The format of a row; `feedback` and `unanswered` say that such rows are asked for.

    Raises:
        InputError: none matches, or two do, or the row is such as was not asked for.
    """
    found = [shape for shape in all_formats().values() if shape.matches(row)]
    # Feedback has the columns of other formats too, and one that says what was liked.
    found = [shape for shape in found if shape.feedback] or found
    if not found and {"chosen", "rejected"} <= set(row) and not feedback:
        raise _feedback(source)
    if len(found) == 1:
        require_wanted(found[0], source, feedback=feedback, unanswered=unanswered)
        return found[0]
    if found:
        raise InputError(
            f"the row can be read as {', '.join(shape.name for shape in found)}: {shown_row(row)}",
            where=source,
            way_out=f"write {_either([f'format: {shape.name}' for shape in found])}",
        )
    raise InputError(
        f"the row has {shown_columns(row)}, which is no shape known here: {shown_row(row)}",
        where=source,
        way_out=_asked(row, unanswered),
    )


def _asked(row: Row, unanswered: bool) -> str:
    """What to ask of a row of no known shape."""
    readings = likely_readings(row, unanswered=unanswered)
    if not readings:
        return (
            "give prompts with replies, or texts with labels, and say which column is which: "
            "'columns: {prompt: ..., reply: ...}'"
        )
    counted = "" if has_names(row) else " (numbers count the columns of a table without a header)"
    return f"say what they are: {_either(readings)}{counted}"


def require_wanted(shape: Format, source: str, *, feedback: bool, unanswered: bool) -> None:
    """Refuse replies that were not liked, and prompts alone, where they were not asked for."""
    if shape.feedback and not feedback:
        raise _feedback(source)
    if shape.unanswered and not unanswered:
        raise InputError(
            f"the rows have prompts and no replies ({shape.shape})",
            where=source,
            way_out="give prompt and reply: 'columns: {prompt: ..., reply: ...}'",
        )


def _feedback(source: str) -> InputError:
    """Feedback holds replies that were rejected: never train on them unasked."""
    return InputError(
        "the row is feedback on replies (chosen and rejected, or liked and not)",
        where=source,
        way_out="choose a kind of task that learns from feedback, or keep only the liked replies "
        "by 'columns: {prompt: ..., reply: chosen}'",
    )


def _either(lines: list[str]) -> str:
    return " or ".join(f"'{line}'" for line in lines)
