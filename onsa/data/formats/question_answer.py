"""`question` and `answer`, as in GSM8K; with a passage it is `reading`."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import cell_text, exchange
from onsa.data.formats.choices import has_choices


def _matches(row: dict[str, Any]) -> bool:
    has_more = {"context", "passage"} & set(row) or has_choices(row)
    return "question" in row and "answer" in row and not has_more


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    return [exchange(cell_text(row, "question", source), cell_text(row, "answer", source), source)]


FORMAT = Format("question_answer", "question, answer", _matches, _convert)
