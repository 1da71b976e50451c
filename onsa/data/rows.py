"""The rows of one data file: JSON, JSON lines, CSV or TSV, compressed or not.

Files are taken to be hostile: nothing in them may raise anything but InputError.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

from onsa.data.formats import all_formats
from onsa.errors import InputError

Row = dict[str, Any]
Lines = Iterator[tuple[int, str]]

ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def ending_of(name: str) -> str:
    """The ending that tells what a file holds, or nothing."""
    plain = name.lower().removesuffix(".gz")
    return next((ending for ending in ENDINGS if plain.endswith(ending)), "")


@contextmanager
def faults_told(where: str) -> Iterator[None]:
    """Faults of the file system and of compressed files become InputError."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise InputError(
            f"cannot be read ({reason})", where=where, way_out="check the file and its permissions"
        ) from None


def file_rows(file: Path, name: str, header: bool) -> Iterator[tuple[Row, str]]:
    """The rows of one file, at least one, with their sources; `name` is what messages call it.

    Raises:
        InputError: as the rows are read.
    """
    ending = ending_of(file.name)
    count = 0
    with faults_told(name), _open(file) as stream:
        lines = _lines(stream, name)
        if ending in (".csv", ".tsv"):
            rows = _table(lines, name, "\t" if ending == ".tsv" else ",", header)
        elif ending in (".jsonl", ".ndjson"):
            rows = _json_lines(lines, name)
        else:
            rows = _json("".join(line for _, line in lines), name, known=ending == ".json")
        for row, source in rows:
            count += 1
            yield row, source
    if count == 0:
        raise InputError("no rows in the file", where=name, way_out="give other data")


def _open(file: Path) -> IO[bytes] | gzip.GzipFile:
    if file.name.lower().endswith(".gz"):
        return gzip.open(file, "rb")
    return file.open("rb")


def _lines(stream: Iterable[bytes], name: str) -> Lines:
    """Numbered lines of UTF-8 text."""
    for number, raw in enumerate(stream, start=1):
        if number == 1:
            if raw.startswith(UTF16_MARKS):
                raise InputError("UTF-16", where=name, way_out="save the file as UTF-8")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            yield number, raw.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(
                "not UTF-8", where=f"{name}:{number}", way_out="save the file as UTF-8"
            ) from None


def _json_lines(lines: Lines, name: str) -> Iterator[tuple[Row, str]]:
    for number, line in lines:
        if line.strip():
            source = f"{name}:{number}"
            yield _row(_parsed(line.strip(), source), source), source


def _json(text: str, name: str, known: bool) -> Iterator[tuple[Row, str]]:
    """Rows of a JSON array, of the one array in an object, of one object, or of JSON lines."""
    if not known and text.lstrip()[:1] not in ("{", "["):
        raise InputError(
            "unknown kind of file", where=name, way_out=f"give {', '.join(ENDINGS)}, or JSON lines"
        )
    if not text.strip():
        return
    if _is_json_lines(text):
        yield from _json_lines(enumerate(text.split("\n"), start=1), name)
        return
    value = _parsed(text, name)
    items = value if isinstance(value, list) else _array_in(value)
    if items is None:
        yield _row(value, name), name
    for number, item in enumerate(items or [], start=1):
        source = f"{name}:{number}"
        yield _row(item, source), source


def _is_json_lines(text: str) -> bool:
    """Whether a first line is a whole object and more follows it."""
    first, _, rest = text.strip().partition("\n")
    if not first.startswith("{") or not rest:
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _array_in(value: Any) -> list[Any] | None:
    """The one array of objects in an object such as `{"version": 1, "data": [...]}`, if it is no
    row itself."""
    if not isinstance(value, dict) or any(shape.matches(value) for shape in all_formats().values()):
        return None
    arrays = [
        items
        for items in value.values()
        if isinstance(items, list) and items and all(isinstance(item, dict) for item in items)
    ]
    return arrays[0] if len(arrays) == 1 else None


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError("JSON nested too deeply", where=where, way_out="flatten it") from None
    except json.JSONDecodeError as fault:
        place = where if fault.lineno == 1 else f"{where}:{fault.lineno}"
        raise InputError(
            f"broken JSON ({fault.msg}, column {fault.colno})",
            where=place,
            way_out="mend that place",
        ) from None
    except ValueError as fault:
        raise InputError(f"broken JSON ({fault})", where=where, way_out="mend it") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _row(value: Any, source: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(
            f"the row is a {type(value).__name__}, not an object",
            where=source,
            way_out="write each row as {...}; an array of rows belongs into a .json file",
        )
    return value


def _table(lines: Lines, name: str, delimiter: str, header: bool) -> Iterator[tuple[Row, str]]:
    csv.field_size_limit(2**31 - 1)  # Python's own limit, 128 KiB, is shorter than documents are
    reader = csv.reader(
        (line for _, line in lines),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
        strict=True,
    )
    columns: list[str] = []
    while True:
        source = f"{name}:{reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as fault:
            raise InputError(f"broken table ({fault})", where=source, way_out="mend it") from None
        if cells is None:
            return
        if not cells:  # an empty line
            continue
        if not columns:
            columns = _header(cells, source) if header else [str(n + 1) for n in range(len(cells))]
            if header:
                continue
        if len(cells) != len(columns):
            raise InputError(
                f"{len(cells)} columns, not {len(columns)}", where=source, way_out="mend the row"
            )
        yield dict(zip(columns, cells, strict=True)), source


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
