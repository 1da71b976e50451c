"""Texts with a label or a number, as conversations: rows of classes, pairs and regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from onsa.data.example import Example
from onsa.data.formats._lists import list_in
from onsa.data.formats._rows import EmptyTextError, as_text, exchange, joined
from onsa.errors import InputError

Label = str | float | list[str]
NONE = "none"  # said of a row to which none of several labels apply


def labelled(texts: Sequence[str], cell: Any, source: str, *, system: str = "") -> Example:
    """An example of one text, or of a pair, whose reply is the label.

    `extra["texts"]` and `extra["label"]` have both as they are: a class by its name, several as a
    list, or a number with a fraction.

    Raises:
        EmptyTextError: a text or the label is missing.
        InputError: the label is none.
    """
    label = label_in(cell, source)
    if any(not text.strip() for text in texts):
        raise EmptyTextError("an empty text", where=source, way_out="write it")
    extra = {"texts": list(texts), "label": label}
    return exchange(joined(texts), reply_of(label), source, system=system, extra=extra)


def label_in(cell: Any, source: str) -> Label:
    several = list_in(cell)
    if several is not None:
        return [_name(entry, source) for entry in several]
    if isinstance(cell, float) and math.isfinite(cell):
        return cell
    name = _name(cell, source)
    if not name:
        raise EmptyTextError("an empty label", where=source, way_out="write it")
    return name


def _name(cell: Any, source: str) -> str:
    return str(cell).lower() if isinstance(cell, bool) else as_text(cell, "label", source).strip()


def reply_of(label: Label) -> str:
    return ", ".join(label) or NONE if isinstance(label, list) else str(label)


def is_yes(cell: Any) -> bool | None:
    """Whether a cell says yes or no, as JSON or a table does; None where it says neither."""
    text = str(cell).strip().lower() if isinstance(cell, str | int | float) else ""
    return {"true": True, "1": True, "false": False, "0": False}.get(text)


def chosen_labels(cells: dict[str, Any], source: str) -> list[str]:
    """The names of the columns that say yes, where each label has a column of its own."""
    said = {name: is_yes(cell) for name, cell in cells.items()}
    unclear = next((name for name, yes in said.items() if yes is None), None)
    if unclear is not None:
        raise InputError(
            f"{unclear[:40]!r} is neither 0 nor 1: {str(cells[unclear])[:40]!r}",
            where=source,
            way_out="give 'label:' one column, or columns of 0 and 1",
        )
    return [name for name, yes in said.items() if yes]
