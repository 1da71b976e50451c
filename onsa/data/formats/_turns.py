"""Parts of rows that are a text, or turns of a conversation in either way of writing them."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Message
from onsa.data.formats import messages, sharegpt
from onsa.data.formats._rows import as_text


def turns_of(value: Any, role: str, column: str, source: str) -> list[Message]:
    """The turns in a cell; a text alone is what `role` says.

    Raises:
        InputError: it is neither.
    """
    turns = value if isinstance(value, list) and value else [value]
    if not all(isinstance(turn, dict) for turn in turns):
        return [{"role": role, "content": as_text(value, column, source)}]
    return [(sharegpt if "from" in turn else messages).message_of(turn, source) for turn in turns]


def shared_turns(one: list[Message], other: list[Message]) -> int:
    """With how many turns both begin, the last of either left out."""
    count = 0
    while count < min(len(one), len(other)) - 1 and one[count] == other[count]:
        count += 1
    return count
