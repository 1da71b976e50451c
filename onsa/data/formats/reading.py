"""Questions on a passage: `context`, `question` and `answers`, as in SQuAD.

The reply is the first answer; all of them are in `extra["answers"]`. Questions that the passage
does not answer are rows without a reply.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._lists import list_in
from onsa.data.formats._rows import as_text, asked_on, cell_text, exchange, group_of, joined
from onsa.data.formats.choices import has_choices

PASSAGES = ("context", "passage")
ANSWERS = ("answers", "answer")


def _matches(row: dict[str, Any]) -> bool:
    has_both = any(name in row for name in PASSAGES) and any(name in row for name in ANSWERS)
    return has_both and "question" in row and not has_choices(row)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    passage = joined(cell_text(row, name, source) for name in PASSAGES if name in row)
    prompt = asked_on(passage, cell_text(row, "question", source))
    column = next(name for name in ANSWERS if name in row)
    answers = list(dict.fromkeys(_answers(row[column], column, source)))
    return [
        exchange(
            prompt,
            answers[0] if answers else "",
            source,
            extra={"answers": answers},
            group=group_of(passage),
        )
    ]


def _answers(cell: Any, column: str, source: str) -> list[str]:
    """All answers: of a text, a list, `{"text": [...]}`, or a list of `{"text": ...}`."""
    if isinstance(cell, dict):
        cell = cell.get("text")
    found = list_in(cell)
    entries = [cell] if found is None else found
    texts = [entry.get("text") if isinstance(entry, dict) else entry for entry in entries]
    return [text for text in (as_text(text, column, source) for text in texts) if text.strip()]


FORMAT = Format("reading", "context (or passage), question, answers", _matches, _convert)
