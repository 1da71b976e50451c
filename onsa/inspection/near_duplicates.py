"""Rows that nearly repeat an earlier row of the same files."""

from __future__ import annotations

from typing import Any

from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.keys import Sources
from onsa.inspection.near import NearIndex, shown_text
from onsa.inspection.records import Record


class NearDuplicates:
    """Rows whose words are nearly those of an earlier row; the index stops where it says so."""

    def __init__(self, sources: Sources, index: NearIndex) -> None:
        self.sources = sources
        self.index = index
        self.cases = Cases()
        self.stopped = ""

    def look(self, record: Record, place: int) -> None:
        self.stopped = self.stopped or self.index.stop
        if self.stopped:
            return
        near = self.index.find_or_add(shown_text(record), record.reply, place)
        if near is not None:
            what = f"similarity about {near.similarity:.2f}"
            twin = self.sources[near.place]
            self.cases.add(record.source, excerpt(record.text), what=what, twin=twin)

    def facts(self) -> dict[str, Any]:
        return {**self.cases.facts(), "looked_at": self.index.looked_at, "note": self.stopped}
