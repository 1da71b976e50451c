"""Pairs of sentences with a label or a number: entailment, paraphrase, similarity."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._labels import labelled
from onsa.data.formats._rows import cell_text

PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("sentence_A", "sentence_B"),
    ("question", "sentence"),
)
LABELS = ("label", "labels", "score", "gold_label", "similarity_score", "is_duplicate")


def names_of_pair(row: dict[str, Any]) -> tuple[str, str] | None:
    """The two columns of a row that are a pair of sentences."""
    return next((pair for pair in PAIRS if set(pair) <= set(row)), None)


def _labels(row: dict[str, Any]) -> list[str]:
    return [name for name in LABELS if name in row]


def _matches(row: dict[str, Any]) -> bool:
    return names_of_pair(row) is not None and len(_labels(row)) == 1


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    names = names_of_pair(row)
    assert names is not None
    texts = [cell_text(row, name, source) for name in names]
    return [labelled(texts, row[_labels(row)[0]], source)]


FORMAT = Format(
    "pair",
    "sentence1, sentence2 (or premise, hypothesis; text1, text2; ...), label (or score)",
    _matches,
    _convert,
)
