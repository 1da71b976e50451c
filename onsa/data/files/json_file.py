"""JSON: an array of rows, an object with one array of rows in it, one row, or rows one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from onsa.data.files import FileKind, Rows
from onsa.data.files._json import Scanner
from onsa.data.files._opened import DataFile, TooLongError
from onsa.data.files._rows import row_of
from onsa.data.formats import is_known
from onsa.data.nesting import nested_in
from onsa.errors import InputError

START = re.compile(r'\s*(\{\s*["}]|\[\s*[\[\]{"])')


def rows(file: DataFile) -> Rows:
    yield from rows_of(file.text(), file.name)


def looks_like_json(start: str) -> bool:
    """Whether a text begins like JSON with rows in it: `{"`, `[{`; not like `[The doctor] said`."""
    return START.match(start) is not None


def rows_of(blocks: Iterator[str], name: str) -> Rows:
    scanner = Scanner(blocks, name)
    first = scanner.peek()
    if first == "[":
        yield from _numbered(_items(scanner), name)
        scanner.end()
    elif first == "{":
        yield from _objects(scanner, name)
    elif first:
        yield row_of(scanner.value(), name), name
        scanner.end()


def _items(scanner: Scanner) -> Iterator[Any]:
    """The items of the array that comes next."""
    scanner.take("[")
    if scanner.peek() == "]":
        scanner.take("]")
        return
    yield scanner.value()
    while scanner.take(",]") == ",":
        yield scanner.value()


def _numbered(items: Iterator[Any], name: str) -> Rows:
    for number, item in enumerate(items, start=1):
        source = f"{name}:{number}"
        yield row_of(item, source), source


def _objects(scanner: Scanner, name: str) -> Rows:
    """One object, or one after the other as in JSON lines."""
    line = scanner.line
    try:
        value = scanner.value()
    except TooLongError:
        yield from _numbered(_items_of_large(scanner, name), name)
        scanner.end()
        return
    if not scanner.peek():
        yield from _of_one(value, name)
        return
    yield row_of(value, f"{name}:{line}"), f"{name}:{line}"
    while scanner.peek():
        source = f"{name}:{scanner.line}"
        yield row_of(scanner.value(), source), source


def _of_one(value: dict[str, Any], name: str) -> Rows:
    """The rows of an object that is the whole file: those in its one array, or itself."""
    arrays = [
        items
        for items in value.values()
        if isinstance(items, list) and items and all(isinstance(item, dict) for item in items)
    ]
    if len(arrays) == 1 and not is_known(value) and nested_in(value) is None:
        yield from _numbered(iter(arrays[0]), name)
    else:
        yield value, name


def _items_of_large(scanner: Scanner, name: str) -> Iterator[Any]:
    """The rows of an object that is too large for one: those in its one array of objects."""
    found = ""
    scanner.take("{")
    while True:
        key = scanner.value()
        scanner.take(":")
        if scanner.peek() != "[":
            scanner.value()
        else:
            for item in _items(scanner):
                if isinstance(item, dict) and found != key:
                    _refuse_second(found, key, name)
                    found = key
                if found == key:
                    yield item
        if scanner.take(",}") == "}":
            return


def _refuse_second(found: str, key: Any, name: str) -> None:
    if found:
        raise InputError(
            f"two arrays hold rows ({found[:40]!r} and {str(key)[:40]!r})",
            where=name,
            way_out="keep the one that is meant",
        )


KIND = FileKind("JSON", (".json",), rows)
