"""Questions asked one after the other and no replies: `turns`, as in MT-bench.

The first is the prompt, `extra["turns"]` has all, `extra["reference"]` what the row says is right.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import as_text, unanswered


def _matches(row: dict[str, Any]) -> bool:
    turns = row.get("turns")
    return isinstance(turns, list) and bool(turns) and all(isinstance(t, str) for t in turns)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    extra = {"turns": [as_text(turn, "turns", source) for turn in row["turns"]]}
    reference = row.get("reference")
    if isinstance(reference, list) and reference:
        extra["reference"] = [as_text(text, "reference", source) for text in reference]
    return [unanswered(extra["turns"][0], source, extra=extra)]


FORMAT = Format("turns", "turns: [question, ...]", _matches, _convert, unanswered=True)
