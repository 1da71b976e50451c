"""Tools that a model may call, and its calls, in the form that chat templates take them."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from onsa.data.example import Example, Message
from onsa.data.formats._rows import as_text
from onsa.errors import InputError

DEEPEST = 64  # levels of a tool's parameters


def tools_of(value: Any, source: str) -> list[dict[str, Any]]:
    """The tools in a row, a list or its JSON, each as `{type: function, function: {name, ...}}`.

    Raises:
        InputError: it is no list of tools.
    """
    found = from_json(value)
    if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
        raise InputError(
            "'tools' is no list of tools", where=source, way_out="write [{name, parameters}, ...]"
        )
    return [_tool(tool, source) for tool in found]


def _tool(tool: dict[str, Any], source: str) -> dict[str, Any]:
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InputError("a tool has no name", where=source, way_out="name each tool")
    require_plain(function, "tools", source)
    return {"type": "function", "function": function}


def calls_of(value: Any, source: str) -> list[dict[str, Any]]:
    """Calls of tools, with their arguments as an object.

    Raises:
        InputError: it is no call, or a list with one that is none.
    """
    calls = value if isinstance(value, list) else [value]
    return [_call(call, source) for call in calls]


def _call(call: Any, source: str) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    arguments = from_json(function.get("arguments", {})) if isinstance(function, dict) else None
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise InputError(
            "a call of a tool has no name, or arguments that are no object",
            where=source,
            way_out="write {name: ..., arguments: {...}}",
        )
    require_plain([name, arguments], "tool_calls", source)
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    if isinstance(call.get("id"), str):
        made["id"] = as_text(call["id"], "id", source)
    return made


def from_json(value: Any) -> Any:
    """What a text spells in JSON; anything else, and text that is none, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def require_plain(value: Any, column: str, source: str) -> None:
    """Refuse what a template could not write: half characters, infinity, endless nesting."""
    waiting = [(value, 0)]
    while waiting:
        inner, depth = waiting.pop()
        if depth > DEEPEST:
            raise InputError(f"{column!r} is nested too deeply", where=source, way_out="flatten it")
        if isinstance(inner, dict):
            waiting += [(part, depth + 1) for pair in inner.items() for part in pair]
        elif isinstance(inner, list):
            waiting += [(part, depth + 1) for part in inner]
        elif isinstance(inner, float) and not math.isfinite(inner):
            raise InputError(f"{column!r} holds no number", where=source, way_out="mend the row")
        elif not isinstance(inner, bool):
            as_text(inner, column, source)


def told_in_text(example: Example) -> Example:
    """The example without tools: they stand in the system message, the calls in the replies."""
    extra = dict(example.extra)
    tools = extra.pop("tools", None)
    messages = [_call_in_text(message) for message in example.messages]
    if tools:
        told = f"Tools: {_json([tool['function'] for tool in tools])}"
        if messages[0]["role"] == "system":
            told = f"{messages.pop(0)['content']}\n\n{told}"
        messages.insert(0, {"role": "system", "content": told})
    return dataclasses.replace(example, messages=tuple(messages), extra=extra)


def _call_in_text(message: Message) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return message
    told = [_json(call["function"]) for call in calls]
    content = "\n".join(filter(None, [message["content"], *told]))
    return {key: content if key == "content" else message[key] for key in ("role", "content")}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
