"""The rows of one finding: how many there are, and a few of them to look at."""

from __future__ import annotations

from collections import Counter
from typing import Any

MOST_KEPT = 20  # of each finding
EXCERPT = 160  # characters


class Cases:
    """A count of rows by kind, and the first of them with excerpts."""

    def __init__(self) -> None:
        self.rows = 0
        self.kinds: Counter[str] = Counter()
        self.kept: list[dict[str, str]] = []
        self._last = ""

    def add(
        self, source: str, text: str, kind: str = "", *, what: str = "", twin: str = ""
    ) -> None:
        """One thing found in a row; a row counts once, however much is found in it."""
        if kind:
            self.kinds[kind] += 1
        if source != self._last:
            self.rows += 1
            self._last = source
        if len(self.kept) < MOST_KEPT:
            case = {"source": source, "kind": kind, "what": what, "twin": twin, "text": text}
            self.kept.append({key: value for key, value in case.items() if value})

    def facts(self) -> dict[str, Any]:
        return {"rows": self.rows, "kinds": dict(self.kinds.most_common()), "cases": self.kept}


def excerpt(text: str, start: int = 0, end: int = 0) -> str:
    """One line of a text, around the place from `start` to `end`, its length bounded."""
    room = max(0, EXCERPT - (end - start)) // 2
    first, last = max(0, start - room), max(end, start) + room
    if start == end == 0:
        last = EXCERPT
    before, after = "…" if first > 0 else "", "…" if last < len(text) else ""
    return before + " ".join(text[first:last].split()) + after
