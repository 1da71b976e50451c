"""ShareGPT: `conversations`, each turn with `from` (human, gpt, system) and `value`.

Tool calls as LLaMA-Factory writes them are read too: `function_call` is a reply, `observation` is
a tool's turn, and the row's `tools` are told in the system message.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import (
    Message,
    cell_text,
    conversation,
    is_list_of_turns,
    joined,
    role_of,
)

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
    messages = [_message(turn, source) for turn in row["conversations"]]
    own = [message["content"] for message in messages if message["role"] == "system"]
    tools = cell_text(row, "tools", source)
    system = joined([*own, cell_text(row, "system", source), f"Tools: {tools}" if tools else ""])
    before = [{"role": "system", "content": system}] if system else []
    turns = [message for message in messages if message["role"] != "system"]
    return [conversation(before + turns, source)]


def _message(turn: dict[str, Any], source: str) -> Message:
    role = role_of(turn, "from", ROLES, source)
    return {"role": role, "content": cell_text(turn, "value", source)}


FORMAT = Format("sharegpt", "conversations: [{from: human or gpt, value}, ...]", _matches, _convert)
