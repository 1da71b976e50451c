"""Programs out of replies that talk around them."""

from __future__ import annotations

import re

FENCED = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\r?\n(.*?)(?:\n```|\Z)", re.DOTALL | re.I)


def unfenced(reply: str) -> str:
    """The code in the reply's first fence; without one, the reply."""
    fenced = FENCED.search(reply)
    return fenced[1] if fenced else reply
