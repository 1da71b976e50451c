"""OpenAI chat: `messages`, each with `role` and `content`; `tools` and `tool_calls` too."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import Message, as_text, conversation, is_list_of_turns, role_of
from onsa.data.formats._tools import calls_of, tools_of
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
KEPT = ("name", "tool_call_id")  # which tool a result is of; templates write them


def _turns(row: dict[str, Any]) -> Any:
    return row.get("messages", row.get("conversations"))


def _matches(row: dict[str, Any]) -> bool:
    return is_list_of_turns(_turns(row), "role")


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    tools = row.get("tools") or row.get("functions")
    extra = {"tools": tools_of(tools, source)} if tools else {}
    return [conversation([message_of(turn, source) for turn in _turns(row)], source, extra)]


def message_of(turn: dict[str, Any], source: str) -> Message:
    """A turn with `role` and `content`, with the calls and names that it has."""
    if turn.get("weight") == 0:
        raise InputError(
            "a turn has the weight 0, and every reply is trained",
            where=source,
            way_out="cut the row after the reply that is to be trained",
        )
    message: Message = {
        "role": role_of(turn, "role", ROLES, source),
        "content": _content(turn.get("content"), source),
    }
    calls = turn.get("tool_calls") or turn.get("function_call")
    if calls:
        message["tool_calls"] = calls_of(calls, source)
    if message["role"] == "tool":
        kept = {key: as_text(turn[key], key, source) for key in KEPT if turn.get(key)}
        message.update(kept)
    return message


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


FORMAT = Format("messages", "messages: [{role, content}, ...]; tools", _matches, _convert)
