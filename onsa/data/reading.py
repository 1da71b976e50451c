"""Rows and examples out of data files.

What a file is, is found by its ending or by looking (`rows`), the shape of its rows by looking too
(`formats`); every fault is one line that names the file and the row.
"""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NoReturn

from onsa.data.example import Example
from onsa.data.formats import Format, format_of, named_format
from onsa.data.formats._columns import Columns, by_columns, has_no_header
from onsa.data.formats._rows import EmptyTextError, cell_text, shown_columns
from onsa.data.rows import ENDINGS, Row, ending_of, faults_told, file_rows
from onsa.errors import InputError

SLICE = re.compile(r"(?P<path>.+)#(?:(?P<start>\d{0,12}):)?(?P<stop>\d{0,12})", re.DOTALL)
SPLIT_NAME = re.compile(r"(?<![a-z])(train|test|dev|valid|validation|eval)(?![a-z])", re.I)
MOST_NAMED = 3  # sources that a message names before it says how many more there are


def read_examples(
    path: str | Path,
    *,
    base_folder: Path,
    columns: Columns | None = None,
    format: str | None = None,
    system: str | None = None,
    skipped: list[str] | None = None,
    group: str | int | None = None,
) -> list[Example]:
    """All examples of a file, folder, glob or slice (see `read_rows`).

    The shape of the rows is `columns`, or `format` by name, or found by looking at the first row;
    all rows must have it. `system` goes before conversations that bring no system message. Rows
    with an empty prompt or reply are an error; or, if a list is given as `skipped`, they are left
    out and their sources put there. What the column `group` holds is the examples' group.

    Raises:
        InputError: anything wrong with the files or rows, or no example in them.
    """
    by_name = by_columns(columns) if columns else None
    shape = named_format(format) if format else None
    examples: list[Example] = []
    empty: list[str] = []
    for row, source in read_rows(path, base_folder=base_folder, header=not has_no_header(columns)):
        convert = by_name
        if convert is None:
            shape = _shape(row, source, shape)
            convert = shape.convert
        try:
            made = [_with_system(example, system) for example in convert(row, source)]
            examples += made if group is None else _in_group(made, row, str(group), source)
        except EmptyTextError as fault:
            empty.append(f"{source} ({fault.what})")
    if empty and skipped is None:
        raise InputError(
            f"{len(empty)} of the rows cannot be trained on",
            where=named(empty),
            way_out="write what is missing, delete the rows, or set 'skip_empty: true'",
        )
    if not examples:
        raise InputError(
            "no row can be trained on", where=_printable(str(path)), way_out="give other data"
        )
    if skipped is not None:
        skipped += empty
    return examples


def read_rows(
    path: str | Path, *, base_folder: Path = Path(), header: bool = True
) -> Iterator[tuple[Row, str]]:
    """Rows with their sources (`train.jsonl:17`: line 17; in a JSON array: item 17).

    `path` is a .json file (an array, an object with one array in it, one row, or JSON lines),
    .jsonl, .csv, .tsv, each also with .gz, another file with JSON in it, a folder of such files,
    or a glob; `#500` after it takes the first 500 rows, `#200:700` those from 200 up to 700.
    Without `header` the columns of tables are named 1, 2, ... A .tsv has no quoting.

    Raises:
        InputError: as the rows are read; the message names file and line.
    """
    text, start, stop = _without_slice(str(path), base_folder)
    files = _find_files(text, base_folder)
    rows = chain.from_iterable(file_rows(file, _shown(file, base_folder), header) for file in files)
    count = 0
    for pair in islice(rows, start, stop):
        count += 1
        yield pair
    if count == 0 or (stop is not None and start + count < stop):
        raise InputError(
            "fewer rows than the slice asks for", where=_printable(text), way_out="ask for fewer"
        )


def named(sources: list[str]) -> str:
    """A few of the sources, and how many more there are."""
    more = len(sources) - MOST_NAMED
    return ", ".join(sources[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _shape(row: Row, source: str, shape: Format | None) -> Format:
    """The shape of a row: the one named or that of the rows before it, else found by looking."""
    if shape is None:
        return format_of(row, source)
    if not shape.matches(row):
        raise InputError(
            f"the row has {shown_columns(row)}, which is not {shape.name} ({shape.shape})",
            where=source,
            way_out="keep to one shape in a task's data",
        )
    return shape


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


def _without_slice(path: str, base_folder: Path) -> tuple[str, int, int | None]:
    """The path, and which rows of it; a `#` in the name of a file that exists is no slice."""
    found = SLICE.fullmatch(path)
    if found is None or os.path.exists(base_folder / path):  # noqa: PTH110  (never raises)
        return path, 0, None
    start, stop = int(found["start"] or 0), int(found["stop"]) if found["stop"] else None
    if not (found["start"] or found["stop"]) or (stop is not None and stop <= start):
        raise InputError(
            "a slice without rows",
            where=_printable(path),
            way_out="write #500 for the first 500, or #200:700",
        )
    return found["path"], start, stop


def _find_files(text: str, base_folder: Path) -> list[Path]:
    """The data files that a path, folder or glob names, in the order of their names."""
    shown = _printable(text)
    if "://" in text:
        raise InputError("a web address", where=shown, way_out="download the file, give its path")
    if not text.strip() or "\0" in text:
        raise InputError("not a path", where=shown, way_out="give a file, a folder or a glob")
    text = os.path.expanduser(text)  # noqa: PTH111  (Path's own raises for unknown users)
    place = base_folder / text
    with faults_told(shown):
        if place.is_dir():
            return _files_below(place, shown)
        if place.is_file():
            return [place]
        if place.exists():
            raise InputError("not a plain file", where=shown, way_out="give a file or a folder")
        matching = sorted(glob.glob(text, root_dir=base_folder, recursive=True))  # noqa: PTH207
        files = [base_folder / name for name in matching if (base_folder / name).is_file()]
    return files or _nothing_there(place, shown)


def _nothing_there(place: Path, shown: str) -> NoReturn:
    try:
        near = difflib.get_close_matches(place.name, os.listdir(place.parent), n=1)  # noqa: PTH208
    except (OSError, ValueError):
        near = []
    way_out = f"did you mean {near[0]!r}?" if near else "paths count from the recipe's folder"
    raise InputError("no such file", where=shown, way_out=way_out)


def _files_below(folder: Path, shown: str) -> list[Path]:
    def stop(fault: OSError) -> NoReturn:
        raise fault  # os.walk would leave an unreadable folder out without a word

    found = [
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=stop)
        for name in names
        if ending_of(name) and not name.startswith(".")
    ]
    if not found:
        raise InputError(
            "no data in the folder", where=shown, way_out=f"it needs files in {', '.join(ENDINGS)}"
        )
    splits = sorted(file.name for file in found if SPLIT_NAME.search(file.name))
    if splits and len(found) > 1:
        # Training and test rows read together would make every score a lie.
        raise InputError(
            f"the folder holds {named(splits)}", where=shown, way_out="name the one you mean"
        )
    return sorted(found)


def _shown(file: Path, base_folder: Path) -> str:
    """The file's name for messages: from the base folder where it is inside."""
    inside = file.relative_to(base_folder) if file.is_relative_to(base_folder) else file
    return _printable(str(inside))


def _printable(text: str) -> str:
    """Names of files may hold bytes that are no text; those are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
