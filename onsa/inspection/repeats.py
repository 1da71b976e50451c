"""The same row twice, and the same input with another reply."""

from __future__ import annotations

from array import array
from typing import Any

from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.keys import Sources, row_keys
from onsa.inspection.records import Record


class Seen:
    """Which rows were there before, by two hashes a row."""

    def __init__(self) -> None:
        self.first: dict[int, int] = {}  # prompt -> the first row with it
        self.replies = array("Q")
        self.others: dict[tuple[int, int], int] = {}  # rows whose prompt had another reply first

    def add(self, prompt: int, reply: int, place: int) -> tuple[int | None, int | None]:
        """The first row that is the same, and the first with this prompt and another reply.

        Rows are added at the places 0, 1, 2, ...
        """
        assert place == len(self.replies), "rows come in order"
        found = self.same(prompt, reply)
        self.replies.append(reply)
        first = self.first.setdefault(prompt, place)
        if self.replies[first] != reply:
            self.others.setdefault((prompt, reply), place)
        return found

    def same(self, prompt: int, reply: int) -> tuple[int | None, int | None]:
        """The first row that is the same, and the first with this prompt and another reply."""
        first = self.first.get(prompt)
        if first is None:
            return None, None
        if self.replies[first] == reply:
            return first, None
        return self.others.get((prompt, reply)), first


class Repeats:
    """Exact duplicates, and conflicts: rows with the same input whose replies differ.

    The first of several same rows is no duplicate. A repeated conflicting row is a duplicate only.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.seen = Seen()
        self.duplicates, self.conflicts = Cases(), Cases()
        self.conflicting: set[int] = set()  # the prompts

    def look(self, record: Record, place: int) -> bool:
        """Whether the row is a duplicate."""
        prompt, reply = row_keys(record)
        same, other = self.seen.add(prompt, reply, place)
        if same is not None:
            text = excerpt(record.text)
            self.duplicates.add(record.source, text, twin=self.sources[same])
        elif other is not None:
            self.conflicting.add(prompt)
            what = f"reply {excerpt(record.reply)!r}"
            text = excerpt(record.prompt)
            self.conflicts.add(record.source, text, what=what, twin=self.sources[other])
        return same is not None

    def facts(self) -> dict[str, Any]:
        conflicts = {**self.conflicts.facts(), "inputs": len(self.conflicting)}
        return {"duplicates": self.duplicates.facts(), "conflicts": conflicts}
