"""HH-RLHF: `chosen` and `rejected`, each a transcript with `Human:` and `Assistant:`."""

from __future__ import annotations

import re
from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import Message, cell_text
from onsa.data.formats._turns import shared_turns
from onsa.data.formats.preference import preferred

TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def _matches(row: dict[str, Any]) -> bool:
    sides = (row.get("chosen"), row.get("rejected"))
    return all(isinstance(side, str) and side.startswith("\n\nHuman:") for side in sides)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    chosen, rejected = (_turns(cell_text(row, side, source)) for side in ("chosen", "rejected"))
    shared = shared_turns(chosen, rejected)
    return [preferred(chosen[:shared], chosen[shared:], rejected[shared:], source)]


def _turns(transcript: str) -> list[Message]:
    _, *parts = TURN.split(transcript)
    return [
        {"role": ROLES[speaker], "content": said.strip()}
        for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    ]


FORMAT = Format(
    "transcripts", "chosen, rejected: '\\n\\nHuman: ...\\n\\nAssistant: ...'", _matches, _convert,
    feedback=True,
)  # fmt: skip
