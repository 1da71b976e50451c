"""Arrow: its file format, which Feather is too, and its stream format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onsa.data.files import FileKind, Rows
from onsa.data.files._arrow import BATCH_ROWS, arrow, rows_of_file
from onsa.data.files._opened import DataFile

FILE_MARK = b"ARROW1"


def rows(file: DataFile) -> Rows:
    library = arrow("pyarrow")

    def batches(stream: Any) -> Iterator[Any]:
        is_file = stream.read(len(FILE_MARK)) == FILE_MARK
        stream.seek(0)
        if is_file:
            reader = library.ipc.open_file(stream)
            whole = map(reader.get_batch, range(reader.num_record_batches))
        else:
            whole = iter(library.ipc.open_stream(stream))
        for batch in whole:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)

    yield from rows_of_file(file, batches)


KIND = FileKind("Arrow", (".arrow", ".feather"), rows)
