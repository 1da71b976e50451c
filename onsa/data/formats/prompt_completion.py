"""`prompt` and `completion` (or `response`)."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import cell_text, exchange


def _matches(row: dict[str, Any]) -> bool:
    return "prompt" in row and ("completion" in row or "response" in row)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    reply = cell_text(row, "completion" if "completion" in row else "response", source)
    system = cell_text(row, "system", source)
    return [exchange(cell_text(row, "prompt", source), reply, source, system=system)]


FORMAT = Format("prompt_completion", "prompt, completion (or response)", _matches, _convert)
