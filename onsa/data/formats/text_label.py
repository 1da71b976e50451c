"""Classification and regression: `text` (or `sentence`) with `label` (`labels`, `score`)."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._labels import labelled
from onsa.data.formats._rows import cell_text
from onsa.data.formats.pair import names_of_pair

TEXTS = ("text", "sentence")
LABELS = ("label", "labels", "score")
OTHERS = {"question", "prompt", "instruction", "messages", "conversations", "options", "choices"}


def one_of(names: tuple[str, ...], row: dict[str, Any]) -> str | None:
    """The one of these columns that a row has; None where it has none, or several."""
    found = [name for name in names if name in row]
    return found[0] if len(found) == 1 else None


def _matches(row: dict[str, Any]) -> bool:
    has_both = one_of(TEXTS, row) is not None and one_of(LABELS, row) is not None
    return has_both and names_of_pair(row) is None and not OTHERS & set(row)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    text, label = one_of(TEXTS, row), one_of(LABELS, row)
    assert text is not None
    assert label is not None
    return [labelled([cell_text(row, text, source)], row[label], source)]


FORMAT = Format("text_label", "text (or sentence), label (or labels, score)", _matches, _convert)
