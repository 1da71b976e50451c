"""Rows and examples out of data files.

What a file is, is found by its ending or by looking (`files`), the shape of its rows by looking too
(`formats`); every fault is one line that names the file and the row, and shows it.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from onsa.data.by_value import Chosen
from onsa.data.example import Example
from onsa.data.files import Row, file_rows
from onsa.data.files._encoding import require_encoding
from onsa.data.files._opened import DataFile, Facts
from onsa.data.formats import Format, format_of, named_format, require_wanted
from onsa.data.formats._columns import Columns, format_by_columns, has_no_header
from onsa.data.formats._rows import EmptyTextError, cell_text, shown_columns, shown_row
from onsa.data.formats._tools import told_in_text
from onsa.data.hub import hub_rows, is_hub_name
from onsa.data.nesting import flat
from onsa.data.places import find_files, named, printable, shown_path, without_slice
from onsa.errors import InputError

Unicode = Literal["NFC", "NFKC"]
Tools = Literal["template", "text"]


def read_examples(
    path: str | Path,
    *,
    base_folder: Path,
    columns: Columns | None = None,
    format: str | None = None,
    system: str | None = None,
    tools: Tools = "template",
    encoding: str | None = None,
    unicode: Unicode | None = None,
    feedback: bool = False,
    unanswered: bool = False,
    skipped: list[str] | None = None,
    facts: Facts | None = None,
    group: str | int | None = None,
    chosen: Chosen | None = None,
    header: bool = True,
) -> list[Example]:
    """All examples of a file, folder, glob, slice or data set of the hub (see `read_rows`).

    The shape of the rows is `columns`, or `format` by name, or found by looking at the first row;
    all rows must have it. Rows with an empty prompt or reply are an error; or, if a list is given
    as `skipped`, they are left out and their sources put there.

    Args:
        system: goes before conversations that bring no system message.
        tools: those of a conversation go to the chat template, or stand as text in its messages.
        unicode: the form that all texts are brought into.
        feedback: rows that say which replies were liked are asked for.
        unanswered: rows with prompts and no replies are.
        group: the column that holds the examples' group.
        chosen: picks rows by the value of a column, and counts the others.
        header: whether tables have one, where the columns do not tell.

    Raises:
        InputError: anything wrong with the files or rows, or no example in them.
    """
    shape = format_by_columns(columns) if columns else named_format(format) if format else None
    shown = printable(str(path))
    examples: list[Example] = []
    empty: list[str] = []
    rows = read_rows(
        path,
        base_folder=base_folder,
        header=header and not has_no_header(columns),
        encoding=encoding,
        facts=facts,
    )
    for row, source in chosen.of(rows, shown) if chosen else rows:
        if unicode:
            row = _normalised(row, unicode, source)
        if shape is None:
            shape = format_of(row, source, feedback=feedback, unanswered=unanswered)
        require_wanted(shape, source, feedback=feedback, unanswered=unanswered)
        try:
            found = _converted(row, source, shape)
        except EmptyTextError as fault:
            empty.append(f"{source} ({fault.what})")
            continue
        made = [_with_system(_told(example, tools), system) for example in found]
        examples += made if group is None else _in_group(made, row, str(group), source)
    if empty and skipped is None:
        raise InputError(
            f"{len(empty)} of the rows cannot be trained on",
            where=named(empty),
            way_out="write what is missing, delete the rows, or set 'skip_empty: true'",
        )
    if not examples:
        raise InputError("no row can be trained on", where=shown, way_out="give other data")
    if skipped is not None:
        skipped += empty
    return examples


def read_rows(
    path: str | Path,
    *,
    base_folder: Path = Path(),
    header: bool = True,
    encoding: str | None = None,
    facts: Facts | None = None,
) -> Iterator[tuple[Row, str]]:
    """Rows with their sources (`train.jsonl:17`: line 17; in other files: row 17), as a stream.

    `path` is a file of a kind in `files`, packed or not; a folder of such files, or one that
    `datasets.save_to_disk` wrote; a glob; or the name of a data set of the Hugging Face hub
    (`org/name`, `org/name:config@split`). `#500` after it takes the first 500 rows, `#200:700`
    those from 200 up to 700. Without `header` the columns of tables are named 1, 2, ...
    Rows inside a row (the questions of a passage) are rows (see `nesting`).

    `facts` is told what was found out by looking ("Shift-JIS") and of which files.

    Raises:
        InputError: as the rows are read; the message names file and line.
    """
    text, start, stop = without_slice(str(path), base_folder)
    if encoding is not None:
        require_encoding(encoding)
    rows = _all(text, base_folder, header, encoding, {} if facts is None else facts)
    inner = chain.from_iterable(flat(row, source) for row, source in rows)
    count = 0
    for pair in islice(inner, start, stop):
        count += 1
        yield pair
    if count == 0 or (stop is not None and start + count < stop):
        raise InputError(
            "fewer rows than the slice asks for", where=printable(text), way_out="ask for fewer"
        )


def sentences(facts: Facts) -> list[str]:
    """What was found out by looking, for people: `train.csv is Shift-JIS`."""
    return [
        f"{named(files)} {'is' if len(files) == 1 else 'are'} {fact}"
        for fact, files in facts.items()
    ]


def _all(
    text: str, base_folder: Path, header: bool, encoding: str | None, facts: Facts
) -> Iterator[tuple[Row, str]]:
    if is_hub_name(text, base_folder):
        yield from hub_rows(text)
        return
    for path in find_files(text, base_folder):
        name = shown_path(path, base_folder)
        yield from file_rows(DataFile(path, name, header, encoding, facts))


def _converted(row: Row, source: str, shape: Format) -> list[Example]:
    """The examples of a row; a fault shows it, and what shape it should have."""
    if not shape.matches(row):
        raise InputError(
            f"the row has {shown_columns(row)}, which is not {shape.name} ({shape.shape}): "
            f"{shown_row(row)}",
            where=source,
            way_out="keep to one shape in a task's data",
        )
    try:
        return shape.convert(row, source)
    except EmptyTextError:
        raise
    except InputError as fault:
        raise InputError(
            f"{fault.what}, in the row {shown_row(row)}",
            where=fault.where,
            way_out=f"{fault.way_out}; expected is {shape.name}: {shape.shape}",
        ) from None


def _told(example: Example, tools: Tools) -> Example:
    return told_in_text(example) if tools == "text" else example


def _with_system(example: Example, system: str | None) -> Example:
    if not system or any(message["role"] == "system" for message in example.messages):
        return example
    first = {"role": "system", "content": system}
    return dataclasses.replace(example, messages=(first, *example.messages))


def _in_group(examples: list[Example], row: Row, column: str, source: str) -> list[Example]:
    if column not in row:
        raise InputError(
            f"there is no column {column[:40]!r} to group by, only {shown_columns(row)}",
            where=source,
            way_out="name one of those with 'group:'",
        )
    value = cell_text(row, column, source)
    return [dataclasses.replace(example, group=value) for example in examples]


def _normalised(row: Row, form: Unicode, source: str) -> Row:
    """The row with all its texts in a form of Unicode."""

    def changed(value: Any) -> Any:
        if isinstance(value, str):
            return unicodedata.normalize(form, value)
        if isinstance(value, list):
            return [changed(each) for each in value]
        if isinstance(value, dict):
            return {key: changed(each) for key, each in value.items()}
        return value

    try:
        return {column: changed(value) for column, value in row.items()}
    except RecursionError:
        raise InputError("JSON nested too deeply", where=source, way_out="flatten it") from None
