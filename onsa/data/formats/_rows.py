"""What all formats need: text out of a row's cell, and a conversation that can be trained."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onsa.data.example import Example, Message
from onsa.errors import InputError

KINDS = {list: "a list", dict: "an object", bool: "true or false", bytes: "bytes"}
SHOWN = 160  # characters of a row in a message, and of one text in it
SHOWN_TEXT = 40


class EmptyTextError(InputError):
    """A row without a prompt or reply to train on; the reader may be told to leave such out."""


def cell_text(row: dict[str, Any], column: str, source: str) -> str:
    """The text in a column; missing and null are empty, numbers are written as in JSON."""
    return as_text(row.get(column), column, source)


def as_text(value: Any, column: str, source: str) -> str:
    """`value` as text.

    Raises:
        InputError: it is a list, an object, true or false, bytes, or holds half a character.
    """
    if value is None:
        return ""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not isinstance(value, str) and not (is_number and math.isfinite(value)):
        kind = "a number too large" if is_number else KINDS.get(type(value), "something else")
        raise InputError(
            f"{column!r} is {kind}, not text",
            where=source,
            way_out="put text there, or take other columns with 'columns:'",
        )
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"{column!r} holds half a character (a lone surrogate)",
            where=source,
            way_out="save the file anew from its source, as UTF-8",
        ) from None
    return text


def is_list_of_turns(value: Any, speaker: str) -> bool:
    """Whether `value` is a list of objects that each tell their speaker under `speaker`."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(turn, dict) and speaker in turn for turn in value)


def role_of(turn: dict[str, Any], key: str, roles: Mapping[str, str], source: str) -> str:
    """The role (system, user, assistant, tool) of whoever `turn[key]` names."""
    name = turn.get(key)
    if not isinstance(name, str) or name not in roles:
        shown = repr(name[:40]) if isinstance(name, str) else "that is not text"
        raise InputError(
            f"unknown {key!r} {shown}", where=source, way_out=f"use {', '.join(roles)}"
        )
    return roles[name]


def conversation(
    messages: Sequence[Message],
    source: str,
    extra: dict[str, Any] | None = None,
    *,
    group: str = "",
) -> Example:
    """An example of these messages: some user turn, the assistant last, none of them empty.

    A reply may be a call of a tool alone, and a tool may say nothing.
    """
    if not messages or messages[-1]["role"] != "assistant":
        raise EmptyTextError("no reply at the end", where=source, way_out="end with the reply")
    if not any(message["role"] == "user" for message in messages):
        raise EmptyTextError("no prompt", where=source, way_out="put a user's turn first")
    for message in messages:
        is_spoken = message["role"] != "tool" and not message.get("tool_calls")
        if is_spoken and not message["content"].strip():
            what = "reply" if message["role"] == "assistant" else "prompt"
            raise EmptyTextError(f"an empty {what}", where=source, way_out="write it")
    return Example(tuple(messages), extra or {}, source, group=group)


def exchange(
    prompt: str,
    reply: str,
    source: str,
    *,
    system: str = "",
    extra: dict[str, Any] | None = None,
    group: str = "",
) -> Example:
    """An example of one prompt and one reply, after a system message if there is one."""
    before = [{"role": "system", "content": system}] if system.strip() else []
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
    return conversation(before + turns, source, extra, group=group)


def unanswered(prompt: str, source: str, *, system: str = "", extra: dict[str, Any]) -> Example:
    """An example of a prompt alone: its reply is empty."""
    example = exchange(prompt, "?", source, system=system, extra=extra)
    return Example((*example.prompt, {"role": "assistant", "content": ""}), extra, source)


def group_of(passage: str) -> str:
    """What rows with the same passage have in common; nothing where there is no passage."""
    return hashlib.blake2s(passage.encode(), digest_size=8).hexdigest() if passage.strip() else ""


def asked_on(passage: str, question: str) -> str:
    """The passage and the question; nothing without a question, so that it is found to be empty."""
    return joined([passage, question]) if question.strip() else ""


def joined(parts: Iterable[str], between: str = "\n\n") -> str:
    """The parts that are not empty, in their order."""
    return between.join(part for part in parts if part.strip())


def shown_columns(row: dict[str, Any]) -> str:
    """The columns of a row for a message: few, short, and safe to print."""
    names = [repr(name[:40])[1:-1] for name in list(row)[:20]]
    more = f" and {len(row) - 20} more" if len(row) > 20 else ""
    return f"the columns {', '.join(names)}{more}" if names else "no columns"


def shown_row(row: dict[str, Any]) -> str:
    """A row for a message, as JSON with its long texts cut."""
    cells = (
        f"{_cut(_json(name), SHOWN_TEXT)}: {_cut(_json(value), SHOWN_TEXT)}"
        for name, value in list(row.items())[:20]
    )
    return _cut(f"{{{', '.join(cells)}}}", SHOWN)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "..."


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
