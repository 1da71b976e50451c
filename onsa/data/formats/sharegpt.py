"""ShareGPT: `conversations`, each turn with `from` (human, gpt, system) and `value`.

Tool calls as LLaMA-Factory writes them are read too: `function_call` is a reply that calls tools,
`observation` is a tool's turn. `tools` and calls that are no JSON stay the text that they are.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import (
    Message,
    as_text,
    cell_text,
    conversation,
    is_list_of_turns,
    joined,
    role_of,
)
from onsa.data.formats._tools import calls_of, from_json, tools_of

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "system": "system",
}


def _matches(row: dict[str, Any]) -> bool:
    return is_list_of_turns(row.get("conversations"), "from")


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    messages = [message_of(turn, source) for turn in row["conversations"]]
    own = [message["content"] for message in messages if message["role"] == "system"]
    tools, told = _tools(row.get("tools"), source)
    system = joined([*own, cell_text(row, "system", source), told])
    before = [{"role": "system", "content": system}] if system else []
    turns = [message for message in messages if message["role"] != "system"]
    return [conversation(before + turns, source, {"tools": tools} if tools else {})]


def _tools(value: Any, source: str) -> tuple[list[dict[str, Any]], str]:
    """The tools, or what to tell of them where they are no JSON."""
    found = from_json(value)
    if isinstance(found, list):
        return tools_of(found, source), ""
    text = as_text(value, "tools", source)
    return [], f"Tools: {text}" if text.strip() else ""


def message_of(turn: dict[str, Any], source: str) -> Message:
    """A turn with `from` and `value`, a call of a tool as such."""
    role = role_of(turn, "from", ROLES, source)
    if turn["from"] == "function_call":
        called = from_json(turn.get("value"))
        if isinstance(called, dict | list):
            return {"role": role, "content": "", "tool_calls": calls_of(called, source)}
    return {"role": role, "content": cell_text(turn, "value", source)}


FORMAT = Format(
    "sharegpt", "conversations: [{from: human or gpt, value}, ...]; tools", _matches, _convert
)
