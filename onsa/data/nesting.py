"""Rows that hold rows: the questions of a passage, the instances of an instruction.

SQuAD (articles with paragraphs with questions), AR-LSAT (passages with questions) and the seeds of
self-instruct are written so. Each inner row is a row, with the columns around it, and counted in
its source: `dev.json:3.2.5` is the fifth question on the second paragraph of the third article.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Row = dict[str, Any]

# A list of rows under the first name, each of which has the second.
NESTED = (
    ("paragraphs", "qas"),
    ("qas", "question"),
    ("questions", "question"),
    ("instances", "output"),
)


DEEPEST = 3  # levels; more are no data set's, and would be a trap


def flat(row: Row, source: str, depth: int = 0) -> Iterator[tuple[Row, str]]:
    """The innermost rows, or the row itself where nothing is nested in it."""
    inside = nested_in(row)
    if inside is None or depth == DEEPEST:
        yield row, source
        return
    around = {column: value for column, value in row.items() if column != inside}
    for number, inner in enumerate(row[inside], start=1):
        yield from flat({**around, **inner}, f"{source}.{number}", depth + 1)


def nested_in(row: Row) -> str | None:
    """The column that holds rows, if there is one."""
    return next((inner for inner, column in NESTED if _holds(row.get(inner), column)), None)


def _holds(rows: Any, column: str) -> bool:
    return (
        isinstance(rows, list)
        and bool(rows)
        and all(isinstance(row, dict) and column in row for row in rows)
    )
