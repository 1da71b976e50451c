"""Tables: .csv, separated by commas (or semicolons or tabs, found by looking); .tsv by tabs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain

from onsa.data.files import FileKind, Rows, ending_of
from onsa.data.files._opened import LONGEST_ROW, DataFile, lines_of
from onsa.errors import InputError

NAMES = {"\t": "tabs", ";": "semicolons"}


def rows(file: DataFile) -> Rows:
    lines = lines_of(file.text(), file.name)
    if ending_of(file.path.name) == ".tsv":
        yield from table_rows(lines, file, "\t")
        return
    first = next(lines, None)
    if first is None:
        return
    separator = _separator(first[1])
    if separator != ",":
        file.say(f"separated by {NAMES[separator]}")
    yield from table_rows(chain([first], lines), file, separator)


def _separator(header: str) -> str:
    """What the cells of the first line are parted by; a comma wherever there is one."""
    return next((mark for mark in (",", "\t", ";") if mark in header), ",")


def table_rows(lines: Iterator[tuple[int, str]], file: DataFile, separator: str) -> Rows:
    """The rows of a table. Cells are quoted with `"`; where tabs part them, not at all."""
    csv.field_size_limit(LONGEST_ROW)  # Python's own limit, 128 KiB, is shorter than documents are
    reader = csv.reader(
        (line for _, line in lines),
        delimiter=separator,
        quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
        strict=True,
    )
    columns: list[str] = []
    while True:
        source = f"{file.name}:{reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as fault:
            raise InputError(f"broken table ({fault})", where=source, way_out="mend it") from None
        if cells is None:
            return
        if not cells:  # an empty line
            continue
        if not columns:
            columns = _header(cells, source) if file.header else _numbers(cells)
            if file.header:
                continue
        if len(cells) != len(columns):
            raise InputError(
                f"{len(cells)} cells, not {len(columns)}, in the row {_shown(cells)}",
                where=source,
                way_out=f"mend the row; the first has {_shown(columns)}",
            )
        yield dict(zip(columns, cells, strict=True)), source


def _numbers(cells: list[str]) -> list[str]:
    return [str(number) for number in range(1, len(cells) + 1)]


def _header(cells: list[str], source: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"two columns are named {twice[0][:40]!r}",
            where=source,
            way_out="name each once; without a header count them: 'columns: {prompt: 1, ...}'",
        )
    return names


def _shown(cells: list[str]) -> str:
    shown = " | ".join(cell if len(cell) <= 24 else f"{cell[:23]}…" for cell in cells[:8])
    return f"{shown} | …" if len(cells) > 8 else shown


KIND = FileKind("table", (".csv", ".tsv"), rows)
