"""Rows chosen by what stands in one of their columns; those that are not chosen are counted."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import model_validator

from onsa.data.formats._rows import as_text, shown_columns
from onsa.errors import InputError
from onsa.settings import Settings

Row = dict[str, Any]
Column = str | int  # a number counts the columns of a table without a header, from 1
Value = str | int | float | bool
Values = Value | list[Value]
MOST_VALUES = 1000  # of a column, whose rows are counted each by itself; the others together
OTHERS = "(other values)"
MOST_SHOWN = 8  # of them in a message, the most frequent ones
SHOWN_VALUE = 40  # characters


class ByValue(NamedTuple):
    """Rows that have one of the `values` in a column; those with one `elsewhere` are for others."""

    column: str
    values: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()


class ColumnSplit(Settings):
    """Which rows train and which are scored on, as a column of them says."""

    column: Column
    train: Values
    eval: Values

    @model_validator(mode="after")
    def _each_row_on_one_side(self) -> ColumnSplit:
        train, evaluation = written(self.train), written(self.eval)
        if not train or not evaluation:
            raise ValueError("train and eval need a value each")
        if both := [value for value in train if value in evaluation]:
            raise ValueError(f"train and eval both take {both[0]!r}: each row is on one side")
        return self

    def side(self, name: str) -> ByValue:
        """The rows that `train`, or the rows to score on, by `eval`."""
        train, evaluation = written(self.train), written(self.eval)
        mine, others = (train, evaluation) if name == "train" else (evaluation, train)
        return ByValue(str(self.column), mine, others)

    @property
    def told(self) -> str:
        """How the evaluation rows came about, in words."""
        return f"the rows whose column {str(self.column)!r} is {_either(written(self.eval))}"


def where_filters(where: Mapping[Column, Values] | None) -> list[ByValue]:
    return [ByValue(str(column), written(values)) for column, values in (where or {}).items()]


def counts_columns(columns: Iterable[object]) -> bool:
    """Whether a column is told by number, as in a table without a header."""
    return any(isinstance(column, int) for column in columns)


def written(values: Values) -> tuple[str, ...]:
    """The values as text, which cells are compared with."""
    return tuple(map(_text, values if isinstance(values, list) else [values]))


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


class Chosen:
    """What passes all filters of a stream of rows, and how many rows have which value."""

    def __init__(self, filters: Sequence[ByValue]) -> None:
        self.filters = tuple(filters)
        self.counts: list[Counter[str]] = [Counter() for _ in filters]

    def of(self, rows: Iterable[tuple[Row, str]], path: str) -> Iterator[tuple[Row, str]]:
        """The chosen rows, as they are read.

        Raises:
            InputError: a row lacks a column; or, in the end, none was chosen.
        """
        chosen = 0
        for row, source in rows:
            if self._takes(row, source):
                chosen += 1
                yield row, source
        if not chosen:  # then some value is one that no row has
            require_values([self], path)

    def _takes(self, row: Row, source: str) -> bool:
        for asked, counts in zip(self.filters, self.counts, strict=True):
            value = _value_in(row, asked.column, source)
            is_known = value in counts or value in asked.values or value in asked.elsewhere
            counts[value if is_known or len(counts) < MOST_VALUES else OTHERS] += 1
            if value not in asked.values:
                return False
        return True

    def notes(self, path: str) -> list[str]:
        """A sentence for each filter that left rows out: how many, and what they have instead."""
        return [
            note
            for asked, counts in zip(self.filters, self.counts, strict=True)
            if (note := _left_out(asked, counts, path))
        ]


def require_values(read: Sequence[Chosen], path: str = "") -> None:
    """Refuse a value that no row has, of all the rows that these have seen by the same filters."""
    for place, asked in enumerate(read[0].filters):
        counts = sum((each.counts[place] for each in read), Counter[str]())
        for value in (*asked.values, *asked.elsewhere):
            if counts and value not in counts:
                row = "row that is left" if place else "row"
                raise InputError(
                    f"no {row} has {value[:SHOWN_VALUE]!r} in the column {asked.column!r}",
                    where=path,
                    way_out=_known(value, counts),
                )


def _known(value: str, counts: Counter[str]) -> str:
    return "; ".join(filter(None, [_nearest(value, counts), f"the values are {_counted(counts)}"]))


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0][:SHOWN_VALUE]!r}?" if near else ""


def _left_out(asked: ByValue, counts: Counter[str], path: str) -> str:
    taken = asked.values + asked.elsewhere
    others = Counter({value: rows for value, rows in counts.items() if value not in taken})
    if not others:
        return ""
    return (
        f"{others.total():,} of {counts.total():,} rows of {path} are left out, whose column "
        f"{asked.column!r} is not {_either(sorted(taken))}: {_counted(others)}"
    )


def _counted(counts: Counter[str]) -> str:
    """`train 3,888, dev 1,112`, the most frequent first."""
    shown = [
        f"{value[:SHOWN_VALUE] or '(empty)'} {rows:,}"
        for value, rows in counts.most_common(MOST_SHOWN)
    ]
    more = f" and {len(counts) - MOST_SHOWN} more" if len(counts) > MOST_SHOWN else ""
    return ", ".join(shown) + more


def _either(values: Sequence[str]) -> str:
    return " or ".join(repr(value[:SHOWN_VALUE]) for value in values)


def _value_in(row: Row, column: str, source: str) -> str:
    if column not in row:
        raise InputError(
            f"there is no column {column[:40]!r} to choose rows by, only {shown_columns(row)}",
            where=source,
            way_out=_nearest(column, row) or "name one of those",
        )
    cell = row[column]
    return _text(cell) if isinstance(cell, bool) else as_text(cell, column, source).strip()
