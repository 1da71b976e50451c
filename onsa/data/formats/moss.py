"""MOSS: `chat` with `turn_1`, `turn_2`, ..., each with `Human` and `MOSS`.

The marks (`<|Human|>:`, `<eoh>`, ...) are taken off. The `meta_instruction` is left out: it
describes the tools of another assistant by its name, in hundreds of tokens; give `system:` instead.
"""

from __future__ import annotations

import re
from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import Message, cell_text, conversation
from onsa.errors import InputError

MARK_BEFORE = re.compile(r"^\s*<\|[^|>]{1,40}\|>:?")
MARK_AFTER = re.compile(r"<eo[a-z]>\s*$")
PLUGIN_PARTS = ("Inner Thoughts", "Commands", "Tool Responses")


def _matches(row: dict[str, Any]) -> bool:
    chat = row.get("chat")
    return isinstance(chat, dict) and all(re.fullmatch(r"turn_\d{1,6}", turn) for turn in chat)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    chat = row["chat"]
    order = sorted(chat, key=lambda turn: int(turn.removeprefix("turn_")))
    return [conversation([m for turn in order for m in _turn(chat[turn], source)], source)]


def _turn(turn: Any, source: str) -> list[Message]:
    if not isinstance(turn, dict):
        raise InputError("a turn is not an object", where=source, way_out="mend the row")
    for part in PLUGIN_PARTS:
        if _plain(turn, part, source) not in ("", "None"):
            raise InputError(
                f"a turn uses a plugin ({part}), which is not read",
                where=source,
                way_out="keep the conversations without plugins",
            )
    return [
        {"role": "user", "content": _plain(turn, "Human", source)},
        {"role": "assistant", "content": _plain(turn, "MOSS", source)},
    ]


def _plain(turn: dict[str, Any], part: str, source: str) -> str:
    return MARK_AFTER.sub("", MARK_BEFORE.sub("", cell_text(turn, part, source))).strip()


FORMAT = Format("moss", "chat: {turn_1: {Human, MOSS}, ...}", _matches, _convert)
