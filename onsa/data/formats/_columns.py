"""Any columns by name: `columns: {prompt: question, reply: answer}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onsa.data.example import Example
from onsa.data.formats._rows import as_text, exchange, joined, shown_columns
from onsa.data.formats.choices import lettered_example
from onsa.errors import InputError, did_you_mean

Column = str | int  # a number counts the columns of a table without a header, from 1
Columns = Mapping[str, Column | list[Column]]
PARTS = ("prompt", "reply", "system", "choices", "answer")


def by_columns(columns: Columns) -> Callable[[dict[str, Any], str], list[Example]]:
    """A converter that takes `prompt` and `reply`, or `prompt`, `choices` and `answer`.

    Several columns for one part are joined by an empty line (choices: one column each).

    Raises:
        InputError: an unknown part, or a part missing.
    """
    for part in columns:
        if part not in PARTS:
            raise InputError(
                f"unknown part {part!r}", where="columns", way_out=did_you_mean(part, PARTS)
            )
    needed = {"prompt", "choices", "answer"} if "choices" in columns else {"prompt", "reply"}
    wrong = (needed - set(columns)) | (set(columns) - needed - {"system"})
    if wrong:
        raise InputError(
            f"{', '.join(sorted(columns)) or 'no columns'} given",
            where="columns",
            way_out="give prompt and reply, or prompt, choices and answer; system if you like",
        )
    for part, names in columns.items():
        if not _listed(names) or (part == "answer" and len(_listed(names)) > 1):
            raise InputError(
                f"{len(_listed(names))} columns", where=f"columns: {part}", way_out="name one"
            )
    return _choices(columns) if "choices" in columns else _exchange(columns)


def has_no_header(columns: Columns | None) -> bool:
    """Whether columns are told by number, as in a table without a header."""
    parts = (columns or {}).values()
    return any(isinstance(name, int) for names in parts for name in _listed(names))


def _exchange(columns: Columns) -> Callable[[dict[str, Any], str], list[Example]]:
    def convert(row: dict[str, Any], source: str) -> list[Example]:
        prompt, reply, system = (
            joined(_texts(row, columns, part, source)) for part in ("prompt", "reply", "system")
        )
        return [exchange(prompt, reply, source, system=system)]

    return convert


def _choices(columns: Columns) -> Callable[[dict[str, Any], str], list[Example]]:
    def convert(row: dict[str, Any], source: str) -> list[Example]:
        prompt, system = (
            joined(_texts(row, columns, part, source)) for part in ("prompt", "system")
        )
        cells = _cells(row, columns, "choices", source)
        choices = cells[0] if len(cells) == 1 else cells
        (answer,) = _cells(row, columns, "answer", source)
        return [lettered_example(prompt, choices, answer, source, system=system)]

    return convert


def _texts(row: dict[str, Any], columns: Columns, part: str, source: str) -> list[str]:
    return [as_text(cell, part, source) for cell in _cells(row, columns, part, source)]


def _cells(row: dict[str, Any], columns: Columns, part: str, source: str) -> list[Any]:
    names = [str(name) for name in _listed(columns.get(part, []))]
    for name in names:
        if name not in row:
            raise InputError(
                f"there is no column {name!r} for {part!r}; the row has {shown_columns(row)}",
                where=source,
                way_out="mend 'columns:'",
            )
    return [row[name] for name in names]


def _listed(names: Column | list[Column]) -> list[Column]:
    return names if isinstance(names, list) else [names]
