"""Rows out of Arrow's batches, as plain as those of JSON; classes by their names."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from onsa.data.files import Row, Rows
from onsa.data.files._opened import DataFile
from onsa.errors import InputError
from onsa.extras import import_extra

BATCH_ROWS = 1024
WRITTEN = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID)
Classes = Mapping[str, Sequence[str]]
"""Columns that hold numbers of classes -> the classes' names."""


def arrow(module: str) -> ModuleType:
    """A module of pyarrow.

    Raises:
        InputError: it is not installed.
    """
    return import_extra(module, "pyarrow", "data")


def rows_of_file(file: DataFile, batches: Callable[[Any], Iterator[Any]]) -> Rows:
    """The rows of what `batches` makes of the open file; a file may be hostile."""
    with file.seekable() as stream, broken_told(file.name):
        rows = (row for batch in batches(stream) for row in rows_of_batch(batch, file.name))
        for number, row in enumerate(rows, start=1):
            yield row, f"{file.name}:{number}"


def rows_of_batch(batch: Any, where: str, classes: Classes | None = None) -> Iterator[Row]:
    """The rows of a batch or table; without `classes` what its file says of them counts."""
    batch.validate(full=True)  # what is wrong in offsets and texts would crash later
    names = batch.schema.names
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"two columns are named {twice[0][:40]!r}", where=where, way_out="name each once"
        )
    if classes is None:
        classes = _classes(batch.schema.metadata)
    for row in batch.to_pylist():
        for column in classes.keys() & row.keys():
            row[column] = class_name(row[column], classes[column])
        yield plain(row)


def _classes(metadata: Mapping[bytes, bytes] | None) -> Classes:
    """What the library `datasets` writes of classes into the files that it makes."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        found = {
            column: feature.get("names") or feature.get("feature", {}).get("names")
            for column, feature in features.items()
        }
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}
    return {
        column: names
        for column, names in found.items()
        if isinstance(names, list) and all(isinstance(name, str) for name in names)
    }


def class_name(value: Any, names: Sequence[str]) -> Any:
    """The name of a class by its number (of several, theirs); missing where the number is -1."""
    if isinstance(value, list):
        return [class_name(each, names) for each in value]
    if not isinstance(value, int) or isinstance(value, bool) or value >= len(names):
        return value
    return names[value] if value >= 0 else None


@contextmanager
def broken_told(where: str) -> Iterator[None]:
    """Faults of a library that reads data become InputError: they are of many types."""
    try:
        yield
    except InputError:
        raise
    except Exception as fault:
        reason = " ".join(str(fault).split())[:160] or type(fault).__name__
        raise InputError(
            f"cannot be read ({reason})", where=where, way_out="write the file anew"
        ) from None


def plain(value: Any) -> Any:
    """The value with nothing in it that JSON has not; what is no number is missing.

    Bytes stay what they are: they are no text, and refused where text is wanted.
    """
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value) if isinstance(value, WRITTEN) else value
