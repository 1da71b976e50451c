"""Rows as the findings see them: a stream of records, whatever the shape of the file.

This is the one module here that knows how rows become examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from onsa.data.by_value import ByValue, Chosen, require_values
from onsa.data.example import Example
from onsa.data.formats import Format, format_of, named_format
from onsa.data.formats._columns import Columns, by_columns, has_no_header
from onsa.data.formats._rows import EmptyTextError, shown_columns
from onsa.data.reading import read_rows
from onsa.errors import InputError

Row = dict[str, Any]
Convert = Callable[[Row, str], list[Example]]


class Record(NamedTuple):
    """One row of a file.

    `examples` are what a model would be trained on (a tree of conversations gives several), none
    where the row cannot be read as one. `texts` are what a model would see, each once, or all texts
    of a row without examples. `fault` is `empty`, `misshapen` or nothing, `why` says it in words.
    `shape` reads rows like it.
    """

    source: str
    row: Row
    examples: tuple[Example, ...]
    texts: tuple[str, ...]
    fault: str = ""
    why: str = ""
    shape: Shape | None = None

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def prompt(self) -> str:
        """The last question, or the whole text of a row without examples."""
        return self.examples[0].prompt[-1]["content"] if self.examples else self.text

    @property
    def reply(self) -> str:
        return self.examples[0].reply if self.examples else ""

    def changed(self, row: Row) -> Record:
        """The record of another row in this one's place."""
        assert self.shape is not None, "only rows of files can be changed"
        return self.shape.record(row, self.source)


class Shape:
    """How the rows of a path become records: by columns, by a format, or as the first row looks."""

    def __init__(self, columns: Columns | None, format: str | None) -> None:
        self.name = "columns" if columns else format or ""
        self.note = ""
        self._convert: Convert | None = by_columns(columns) if columns else None
        self._format: Format | None = named_format(format) if format else None
        self._is_known = bool(columns or format)

    def record(self, row: Row, source: str) -> Record:
        if not self._is_known:
            self._look(row, source)
        if self._format is not None and not self._format.matches(row):
            why = f"the row has {shown_columns(row)}, which is not {self._format.name}"
            return self._without_examples(row, source, "misshapen", why)
        convert = self._format.convert if self._format is not None else self._convert
        if convert is None:
            return self._without_examples(row, source)
        try:
            examples = tuple(convert(row, source))
        except EmptyTextError as fault:
            return self._without_examples(row, source, "empty", fault.what)
        except InputError as fault:
            return self._without_examples(row, source, "misshapen", fault.what)
        return Record(source, row, examples, contents(examples), shape=self)

    def _look(self, row: Row, source: str) -> None:
        """Take the first row's shape; where it has none, texts are looked at as they are."""
        self._is_known = True
        try:
            self._format = format_of(row, source)
            self.name = self._format.name
        except InputError as fault:
            self.name = "text"
            self.note = (
                f"{source}: {fault.what}: read as plain text, all columns of a row together; give "
                "--columns or --format for prompts, replies and labels"
            )

    def _without_examples(self, row: Row, source: str, fault: str = "", why: str = "") -> Record:
        return Record(source, row, (), tuple(texts_in(row)), fault, why, self)


@dataclass
class Reading:
    """How files are to be read; their shapes, found at the first reading, stay.

    `where` picks rows by the values of columns; what it left out of each file is in the notes. With
    a column told by number, tables have no header.
    """

    base_folder: Path = Path()
    columns: Columns | None = None
    format: str | None = None
    where: Sequence[ByValue] = ()
    header: bool = True
    shapes: dict[str, Shape] = field(default_factory=dict)
    chosen: dict[str, Chosen] = field(default_factory=dict)

    def records(self, path: str) -> Iterator[Record]:
        """The rows of a file, folder, glob or slice, read as they are asked for.

        Raises:
            InputError: as the rows are read, where a file is broken.
        """
        if path not in self.shapes:
            self.shapes[path] = Shape(self.columns, self.format)
        shape, header = self.shapes[path], self.header and not has_no_header(self.columns)
        rows = read_rows(path, base_folder=self.base_folder, header=header)
        if self.where:
            self.chosen[path] = Chosen(self.where)
            rows = self.chosen[path].of(rows, path)
        for row, source in rows:
            yield shape.record(row, source)

    def records_of(self, paths: Sequence[str]) -> Iterator[Record]:
        """The rows of several files, one after the other."""
        for path in paths:
            yield from self.records(path)
        if self.where:
            require_values([self.chosen[path] for path in paths])

    @property
    def notes(self) -> list[str]:
        shapes = [shape.note for shape in self.shapes.values() if shape.note]
        return shapes + [note for path, each in self.chosen.items() for note in each.notes(path)]


def record_of_example(example: Example) -> Record:
    return Record(example.source, {}, (example,), contents((example,)))


def contents(examples: tuple[Example, ...]) -> tuple[str, ...]:
    """Every text of the conversations, once, in their order."""
    return tuple(dict.fromkeys(turn["content"] for each in examples for turn in each.messages))


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value, without keys, in its order."""
    waiting = [value]
    while waiting:  # a loop, not recursion: a row may be as deep as JSON allows
        value = waiting.pop()
        if isinstance(value, str):
            if value.strip():
                yield value
        elif isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list | tuple):
            waiting += reversed(value)


def changed_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text in it (no key) changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: changed_texts(entry, change) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [changed_texts(entry, change) for entry in value]
    return value
