"""OpenAI chat: `messages`, each with `role` and `content`."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import Message, as_text, conversation, is_list_of_turns, role_of
from onsa.errors import InputError

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}


def _turns(row: dict[str, Any]) -> Any:
    return row.get("messages", row.get("conversations"))


def _matches(row: dict[str, Any]) -> bool:
    return is_list_of_turns(_turns(row), "role")


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    return [conversation([_message(turn, source) for turn in _turns(row)], source)]


def _message(turn: dict[str, Any], source: str) -> Message:
    role = role_of(turn, "role", ROLES, source)
    if turn.get("tool_calls"):
        raise InputError(
            "a turn has 'tool_calls', which are not read",
            where=source,
            way_out="write the call as the turn's text",
        )
    return {"role": role, "content": _content(turn.get("content"), source)}


def _content(content: Any, source: str) -> str:
    """Text, or a list of text parts; pictures and sound cannot be read."""
    if not isinstance(content, list):
        return as_text(content, "content", source)
    for part in content:
        if not (isinstance(part, dict) and part.get("type") == "text"):
            raise InputError(
                "a turn has parts that are not text", where=source, way_out="keep text parts only"
            )
    return "".join(as_text(part.get("text"), "text", source) for part in content)


FORMAT = Format("messages", "messages: [{role, content}, ...]", _matches, _convert)
