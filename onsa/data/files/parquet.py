"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onsa.data.files import FileKind, Rows
from onsa.data.files._arrow import BATCH_ROWS, arrow, rows_of_file
from onsa.data.files._opened import DataFile


def rows(file: DataFile) -> Rows:
    library = arrow("pyarrow.parquet")

    def batches(stream: Any) -> Iterator[Any]:
        yield from library.ParquetFile(stream).iter_batches(BATCH_ROWS, use_threads=False)

    yield from rows_of_file(file, batches)


KIND = FileKind("Parquet", (".parquet",), rows)
