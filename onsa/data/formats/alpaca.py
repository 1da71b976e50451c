"""Alpaca: `instruction`, `input` (may be empty), `output`; also `system` and `history`."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import Message, as_text, cell_text, conversation, joined
from onsa.errors import InputError


def _matches(row: dict[str, Any]) -> bool:
    return "instruction" in row and "output" in row


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    prompt = joined([cell_text(row, "instruction", source), cell_text(row, "input", source)])
    system = cell_text(row, "system", source)
    before = [{"role": "system", "content": system}] if system.strip() else []
    last = _pair(prompt, cell_text(row, "output", source))
    return [conversation([*before, *_history(row.get("history"), source), *last], source)]


def _history(pairs: Any, source: str) -> list[Message]:
    """Earlier exchanges as LLaMA-Factory writes them: a list of [prompt, reply]."""
    pairs = pairs or []
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise InputError(
            "'history' is not a list of [prompt, reply]", where=source, way_out="mend it"
        )
    texts = [[as_text(text, "history", source) for text in pair] for pair in pairs]
    return [message for prompt, reply in texts for message in _pair(prompt, reply)]


def _pair(prompt: str, reply: str) -> list[Message]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]


FORMAT = Format("alpaca", "instruction, input, output", _matches, _convert)
