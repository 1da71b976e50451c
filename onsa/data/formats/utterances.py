"""`utterances`, each with `name` (user, agent) and `text`, as in instruction_ja."""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import Message, cell_text, conversation, is_list_of_turns, role_of

ROLES = {"user": "user", "agent": "assistant", "assistant": "assistant", "system": "system"}


def _matches(row: dict[str, Any]) -> bool:
    return is_list_of_turns(row.get("utterances"), "name")


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    return [conversation([_message(turn, source) for turn in row["utterances"]], source)]


def _message(turn: dict[str, Any], source: str) -> Message:
    role = role_of(turn, "name", ROLES, source)
    return {"role": role, "content": cell_text(turn, "text", source)}


FORMAT = Format("utterances", "utterances: [{name: user or agent, text}, ...]", _matches, _convert)
