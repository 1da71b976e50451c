"""Training rows that are evaluation rows too, or nearly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.keys import Sources, overlap_keys
from onsa.inspection.near import NearIndex, asked_text
from onsa.inspection.records import Record


class Evaluation:
    """The evaluation rows: by hash, and (where `index` is given) by what is asked in them."""

    def __init__(self, index: NearIndex | None) -> None:
        self.sources = Sources()
        self.first: dict[int, int] = {}
        self.index = index
        self.unsearched = 0

    def add(self, record: Record) -> None:
        place = self.sources.add(record.source)
        if record.fault:
            return
        for key in overlap_keys(record):
            self.first.setdefault(key, place)
        if self.index is None:
            return
        if self.index.most_rows is not None and place >= self.index.most_rows:
            self.unsearched += 1
        else:
            self.index.add(asked_text(record), record.reply, place)

    def add_all(self, records: Iterable[Record]) -> Evaluation:
        for record in records:
            self.add(record)
        return self

    def twin(self, record: Record) -> str:
        """The source of the evaluation row that is the same, or nothing."""
        places = (self.first.get(key) for key in overlap_keys(record))
        return next((self.sources[place] for place in places if place is not None), "")

    def near_twin(self, record: Record) -> tuple[str, float]:
        """The source of the evaluation row most like it, and how much; or nothing."""
        assert self.index is not None, "near twins were not asked for"
        near = self.index.find(asked_text(record), record.reply)
        return (self.sources[near.place], near.similarity) if near else ("", 0.0)


class Overlap:
    """Training rows that have a twin in the evaluation."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.same, self.near = Cases(), Cases()
        self.stopped = ""

    def look(self, record: Record) -> None:
        if twin := self.evaluation.twin(record):
            self.same.add(record.source, excerpt(record.prompt), twin=twin)
            return
        index = self.evaluation.index
        if index is None:
            return
        self.stopped = self.stopped or index.stop
        if self.stopped:
            return
        twin, similarity = self.evaluation.near_twin(record)
        if twin:
            what = f"similarity about {similarity:.2f}"
            self.near.add(record.source, excerpt(record.prompt), what=what, twin=twin)

    def facts(self) -> dict[str, Any]:
        index = self.evaluation.index
        note = self.stopped
        if self.evaluation.unsearched:
            note += f"; {self.evaluation.unsearched:,} evaluation rows were not compared nearly"
        near = {**self.near.facts(), "note": note.removeprefix("; ")}
        return {
            "overlap": self.same.facts(),
            "near_overlap": None if index is None else {**near, "looked_at": index.looked_at},
        }
