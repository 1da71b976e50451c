"""Replies that were liked or not: a conversation or exchange, and a `label` that is true or false.

As KTO (arXiv 2402.01306) learns from; `extra["liked"]` says which.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format, alpaca, messages, prompt_completion, question_answer, sharegpt
from onsa.data.formats._labels import is_yes

LABELS = ("label", "kto_tag", "liked")
REPLIES = (messages, sharegpt, prompt_completion, alpaca, question_answer)


def _liked(row: dict[str, Any]) -> bool | None:
    said = (is_yes(row[name]) for name in LABELS if name in row)
    return next((liked for liked in said if liked is not None), None)


def _matches(row: dict[str, Any]) -> bool:
    return _liked(row) is not None and any(shape.FORMAT.matches(row) for shape in REPLIES)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    shape = next(shape for shape in REPLIES if shape.FORMAT.matches(row))
    return [
        dataclasses.replace(example, extra={**example.extra, "liked": _liked(row)})
        for example in shape.FORMAT.convert(row, source)
    ]


FORMAT = Format(
    "kto",
    "messages (or conversations, or prompt, completion), label: true or false",
    _matches,
    _convert,
    feedback=True,
)
