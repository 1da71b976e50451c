"""Pairs of replies: a prompt with `chosen` and `rejected`, the rejected one in `extra`.

The prompt is a text, a conversation before the replies, or what both of two conversations begin
with.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import EmptyTextError, Message, cell_text, conversation, joined
from onsa.data.formats._turns import shared_turns, turns_of

TEXTS = ("instruction", "input", "prompt", "question")
TURNS = ("messages", "conversations")
BOTH = ("chosen", "rejected")


def _matches(row: dict[str, Any]) -> bool:
    if not set(BOTH) <= set(row):
        return False
    return bool({*TEXTS, *TURNS} & set(row)) or all(isinstance(row[side], list) for side in BOTH)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    chosen, rejected = (turns_of(row[side], "assistant", side, source) for side in BOTH)
    shared = shared_turns(chosen, rejected)
    before = chosen[:shared]
    if not any(message["role"] == "user" for message in before):
        before = _prompt(row, source) + before
    return [preferred(before, chosen[shared:], rejected[shared:], source)]


def preferred(
    before: list[Message], chosen: list[Message], rejected: list[Message], source: str
) -> Example:
    """An example of what was said before, the reply that was chosen, and the one that was not.

    Raises:
        EmptyTextError: a side is not one reply, or an empty one.
    """
    for side, turns in (("chosen", chosen), ("rejected", rejected)):
        if [message["role"] for message in turns] != ["assistant"]:
            raise EmptyTextError(
                f"{side!r} is not one reply after what both sides share",
                where=source,
                way_out="cut it after the first reply that differs",
            )
    if not rejected[0]["content"].strip():
        raise EmptyTextError("an empty rejected reply", where=source, way_out="write it")
    return conversation([*before, *chosen], source, {"rejected": rejected[0]["content"]})


def _prompt(row: dict[str, Any], source: str) -> list[Message]:
    turns = next((name for name in (*TURNS, "prompt") if isinstance(row.get(name), list)), None)
    if turns is not None:
        said = turns_of(row[turns], "user", turns, source)
    else:
        texts = (cell_text(row, name, source) for name in TEXTS if name in row)
        said = [{"role": "user", "content": joined(texts)}]
    system = cell_text(row, "system", source)
    return ([{"role": "system", "content": system}] if system.strip() else []) + said


FORMAT = Format(
    "preference", "prompt (or conversations), chosen, rejected", _matches, _convert, feedback=True
)
