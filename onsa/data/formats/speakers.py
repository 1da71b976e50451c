"""Chats between two people: `utterances`, each with `interlocutor_id` and `text`.

Who speaks first is the user, the other one the assistant. What one says in several turns is one, a
line each; what follows the assistant's last turn is left out.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import (
    EmptyTextError,
    as_text,
    cell_text,
    conversation,
    is_list_of_turns,
    joined,
)
from onsa.errors import InputError

SPEAKER = "interlocutor_id"


def _matches(row: dict[str, Any]) -> bool:
    return is_list_of_turns(row.get("utterances"), SPEAKER)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    said = [
        (as_text(turn[SPEAKER], SPEAKER, source), cell_text(turn, "text", source))
        for turn in row["utterances"]
    ]
    speakers = list(dict.fromkeys(speaker for speaker, _ in said))
    if len(speakers) > 2:
        raise InputError(
            f"{len(speakers)} people talk", where=source, way_out="keep chats between two"
        )
    if len(speakers) < 2:
        raise EmptyTextError("no reply", where=source, way_out="delete the row")
    messages = [
        {
            "role": "user" if speaker == speakers[0] else "assistant",
            "content": joined((text for _, text in turns), "\n"),
        }
        for speaker, turns in groupby(said, key=lambda turn: turn[0])
    ]
    if messages[-1]["role"] == "user":
        messages.pop()
    return [conversation(messages, source)]


FORMAT = Format("speakers", f"utterances: [{{{SPEAKER}, text}}, ...]", _matches, _convert)
