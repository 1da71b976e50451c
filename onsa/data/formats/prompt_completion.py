"""`prompt` and `completion` (or `response`), each a text or a list of turns."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import cell_text, conversation
from onsa.data.formats._turns import turns_of
from onsa.data.formats.code_tests import has_tests


def _matches(row: dict[str, Any]) -> bool:
    has_reply = "completion" in row or "response" in row
    return (
        "prompt" in row and not isinstance(row["prompt"], dict) and has_reply and not has_tests(row)
    )


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    reply = "completion" if "completion" in row else "response"
    system = cell_text(row, "system", source)
    before = [{"role": "system", "content": system}] if system.strip() else []
    asked = turns_of(row["prompt"], "user", "prompt", source)
    return [
        conversation([*before, *asked, *turns_of(row[reply], "assistant", reply, source)], source)
    ]


FORMAT = Format("prompt_completion", "prompt, completion (or response)", _matches, _convert)
