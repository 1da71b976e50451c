"""Any columns by name: `columns: {prompt: question, reply: answer}`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format, Row
from onsa.data.formats._labels import chosen_labels, is_yes, labelled
from onsa.data.formats._lists import list_in
from onsa.data.formats._rows import (
    as_text,
    asked_on,
    exchange,
    group_of,
    joined,
    shown_columns,
    unanswered,
)
from onsa.data.formats._turns import turns_of
from onsa.data.formats.choices import lettered_example
from onsa.data.formats.preference import preferred
from onsa.errors import InputError, did_you_mean

Column = str | int  # a number counts the columns of a table without a header, from 1
Columns = Mapping[str, Column | list[Column] | Mapping[Column, Column]]
LARGEST_WEIGHT = 1000
SHAPES = (  # parts that make a row
    ("prompt", "reply"),
    ("text", "label"),
    ("prompt", "choices", "answer"),
    ("prompt", "chosen", "rejected"),
    ("prompt", "reply", "label"),
    ("prompt",),
)
ABOUT = ("weight", "group")  # what may be said of every row
BEFORE = ("system", "context")  # what may stand before a prompt
PARTS = ("prompt", "reply", "system", "context", "choices", "answer", "text", "label", "chosen",
         "rejected", *ABOUT)  # fmt: skip
MOST_COLUMNS = {"answer": 1, "weight": 1, "text": 2}


def by_columns(columns: Columns) -> Callable[[Row, str], list[Example]]:
    """What makes examples of rows, by the columns that are named (see `format_by_columns`)."""
    return format_by_columns(columns).convert


def format_by_columns(columns: Columns) -> Format:
    """The shape of rows whose columns are named.

    A row has one of `SHAPES`, and may have `weight` and `group`. Several columns of one part are
    joined by an empty line; of `text` they are a pair, of `choices` one choice each (or lists of
    them; `{A: column, B: column}` says what the answers call them), of `label` one label each,
    with 0 or 1 in it.

    Raises:
        InputError: an unknown part, or parts that make no row.
    """
    for part in columns:
        if part not in PARTS:
            raise InputError(
                f"unknown part {part!r}", where="columns", way_out=did_you_mean(part, PARTS)
            )
    parts = _shape(columns)
    for part, names in columns.items():
        count = len(_listed(names))
        if not 1 <= count <= MOST_COLUMNS.get(part, 10_000):
            raise InputError(
                f"{count} columns",
                where=f"columns: {part}",
                way_out="name one, or two that are a pair" if part == "text" else "name one",
            )
    return Format(
        "columns",
        f"{', '.join(parts)} by the columns named",
        lambda row: True,
        lambda row, source: [_example(columns, parts, row, source)],
        feedback="rejected" in parts or parts == ("prompt", "reply", "label"),
        unanswered=parts == ("prompt",),
    )


def _shape(columns: Columns) -> tuple[str, ...]:
    given = set(columns) - set(ABOUT)
    given -= set(BEFORE) if "prompt" in columns else set()
    found = next((shape for shape in SHAPES if set(shape) == given), None)
    if found is None:
        raise InputError(
            f"{', '.join(sorted(columns)) or 'no columns'} given",
            where="columns",
            way_out="give prompt and reply; text and label; prompt, choices and answer; or prompt, "
            "chosen and rejected; with a prompt system and context if you like",
        )
    return found


def has_no_header(columns: Columns | None) -> bool:
    """Whether columns are told by number, as in a table without a header."""
    parts = (columns or {}).values()
    return any(isinstance(name, int) for names in parts for name in _listed(names))


def _example(columns: Columns, parts: tuple[str, ...], row: Row, source: str) -> Example:
    example = _of_parts(Cells(columns, row, source), parts)
    if "weight" in columns:
        example = dataclasses.replace(example, weight=_weight(columns, row, source))
    if "group" in columns:
        example = dataclasses.replace(example, group=Cells(columns, row, source).text("group"))
    return example


def _of_parts(cells: Cells, parts: tuple[str, ...]) -> Example:
    source = cells.source
    if parts == ("text", "label"):
        return labelled(cells.texts("text"), cells.label(), source)
    context, system = cells.text("context"), cells.text("system")
    prompt = asked_on(context, cells.text("prompt"))
    group = group_of(context)
    if "choices" in parts:
        (answer,) = cells.of("answer")
        return lettered_example(prompt, cells.choices(), answer, source, system=system, group=group)
    if "rejected" in parts:
        turns = [{"role": "system", "content": system}] if system.strip() else []
        turns += [{"role": "user", "content": prompt}]
        chosen, rejected = (
            turns_of(cells.one(side), "assistant", side, source) for side in ("chosen", "rejected")
        )
        return dataclasses.replace(preferred(turns, chosen, rejected, source), group=group)
    if parts == ("prompt",):
        return dataclasses.replace(unanswered(prompt, source, system=system, extra={}), group=group)
    extra = {"liked": cells.yes("label")} if "label" in parts else {}
    return exchange(prompt, cells.text("reply"), source, system=system, extra=extra, group=group)


@dataclass(frozen=True)
class Cells:
    """The cells of a row by the parts that they are."""

    columns: Columns
    row: Row
    source: str

    def of(self, part: str) -> list[Any]:
        names = [str(name) for name in _listed(self.columns.get(part, []))]
        for name in names:
            if name not in self.row:
                raise InputError(
                    f"there is no column {name!r} for {part!r}; the row has "
                    f"{shown_columns(self.row)}",
                    where=self.source,
                    way_out=_mended(name, self.row),
                )
        return [self.row[name] for name in names]

    def one(self, part: str) -> Any:
        """The cell of a part that has one column; of several their texts, joined."""
        cells = self.of(part)
        return cells[0] if len(cells) == 1 else self.text(part)

    def texts(self, part: str) -> list[str]:
        return [as_text(cell, part, self.source) for cell in self.of(part)]

    def text(self, part: str) -> str:
        return joined(self.texts(part))

    def choices(self) -> Any:
        """A list, what a cell says of choices, or a cell for each of them.

        Choices in several columns, one of them a list, are put in the order of their texts: the
        right one would else stand in the same place in every row.
        """
        cells = self.of("choices")
        named = self.columns["choices"]
        if isinstance(named, Mapping):
            return {"text": cells, "label": list(named)}
        if len(cells) == 1:
            return cells[0]
        lists = [list_in(cell) for cell in cells]
        if not any(lists):
            return cells
        texts = [
            as_text(each, "choices", self.source)
            for cell, found in zip(cells, lists, strict=True)
            for each in (found or [cell])
        ]
        return sorted(set(texts))

    def label(self) -> Any:
        names = [str(name) for name in _listed(self.columns["label"])]
        cells = dict(zip(names, self.of("label"), strict=True))
        return cells[names[0]] if len(names) == 1 else chosen_labels(cells, self.source)

    def yes(self, part: str) -> bool:
        (cell,) = self.of(part)
        said = is_yes(cell)
        if said is None:
            raise InputError(
                f"{part!r} says neither yes nor no: {str(cell)[:40]!r}",
                where=self.source,
                way_out="write true or false",
            )
        return said


def _mended(name: str, row: Row) -> str:
    return f"mend 'columns:'; {did_you_mean(name, row)}" if row else "mend 'columns:'"


def _weight(columns: Columns, row: Row, source: str) -> float:
    (cell,) = Cells(columns, row, source).of("weight")
    try:
        weight = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not 0 < weight <= LARGEST_WEIGHT:
        raise InputError(
            f"the weight is {str(cell)[:40]!r}",
            where=source,
            way_out=f"give a number above 0, up to {LARGEST_WEIGHT}",
        )
    return weight


def _listed(names: Column | list[Column] | Mapping[Column, Column]) -> list[Column]:
    if isinstance(names, Mapping):
        return list(names.values())
    return names if isinstance(names, list) else [names]
