"""Plain text, a row a line; but also JSON and tables with tabs that are called .txt."""

from __future__ import annotations

from onsa.data.files import FileKind, Rows
from onsa.data.files._opened import PEEKED, DataFile, lines_of, peeked
from onsa.data.files.json_file import looks_like_json, rows_of
from onsa.data.files.table import table_rows


def rows(file: DataFile) -> Rows:
    start, blocks = peeked(file.text())
    if looks_like_json(start):
        file.say("JSON")
        yield from rows_of(blocks, file.name)
    elif _is_table(start):
        file.say("a table with tabs")
        yield from table_rows(lines_of(blocks, file.name), file, "\t")
    else:
        for number, line in lines_of(blocks, file.name):
            if line.strip():
                yield {"text": line.rstrip("\r\n")}, f"{file.name}:{number}"


def _is_table(start: str) -> bool:
    """Whether the first lines have some tabs, and all as many."""
    lines = start.split("\n")
    if len(start) >= PEEKED:
        lines.pop()  # which is cut
    tabs = {line.count("\t") for line in lines if line.strip()}
    return len(lines) > 1 and len(tabs) == 1 and tabs != {0}


KIND = FileKind("text", (".txt",), rows)
