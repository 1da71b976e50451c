"""JSON Lines: an object a line."""

from __future__ import annotations

from onsa.data.files import FileKind, Rows
from onsa.data.files._json import parsed
from onsa.data.files._opened import DataFile, lines_of
from onsa.data.files._rows import row_of


def rows(file: DataFile) -> Rows:
    for number, line in lines_of(file.text(), file.name):
        content = line.strip()
        if content:
            source = f"{file.name}:{number}"
            yield row_of(parsed(content, source), source), source


KIND = FileKind("JSON lines", (".jsonl", ".ndjson"), rows)
