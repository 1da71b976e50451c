"""Training rows that are evaluation rows too, or nearly."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable
from typing import Any

from onsa.data.shared_texts import text_hashes
from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.keys import Sources, overlap_keys
from onsa.inspection.near import NearIndex, asked_text
from onsa.inspection.records import Record


class Evaluation:
    """The evaluation rows: by hash, and (where `index` is given) by what is asked in them."""

    def __init__(self, index: NearIndex | None) -> None:
        self.sources = Sources()
        self.first: dict[int, int] = {}
        self.texts: dict[int, int] = {}  # one of a pair, or the only one -> the first row with it
        self.pairs = array("Q")  # their texts, row by row: two numbers each
        self.has_pairs = False
        self.index = index
        self.unsearched = 0

    def add(self, record: Record) -> None:
        place = self.sources.add(record.source)
        if record.fault:
            return
        for key in overlap_keys(record):
            self.first.setdefault(key, place)
        self._add_texts(record, place)
        if self.index is None:
            return
        if self.index.most_rows is not None and place >= self.index.most_rows:
            self.unsearched += 1
        else:
            self.index.add(asked_text(record), record.reply, place)

    def _add_texts(self, record: Record, place: int) -> None:
        for example in record.examples:
            hashes = text_hashes(example)
            self.pairs.extend(hashes[:1] + hashes[-1:])
            self.has_pairs |= len(hashes) == 2
            for each in hashes:
                self.texts.setdefault(each, place)

    def add_all(self, records: Iterable[Record]) -> Evaluation:
        for record in records:
            self.add(record)
        return self

    def twin(self, record: Record) -> str:
        """The source of the evaluation row that is the same, or nothing."""
        places = (self.first.get(key) for key in overlap_keys(record))
        return next((self.sources[place] for place in places if place is not None), "")

    def relatives(self, record: Record) -> list[int]:
        """The texts of a row that evaluation rows have too."""
        return [
            each
            for example in record.examples
            for each in text_hashes(example)
            if each in self.texts
        ]

    def related_rows(self, texts: Collection[int]) -> int:
        """The evaluation rows that have one of these texts."""
        pairs = zip(self.pairs[::2], self.pairs[1::2], strict=True)
        return sum(one in texts or other in texts for one, other in pairs)

    def near_twin(self, record: Record) -> tuple[str, float]:
        """The source of the evaluation row most like it, and how much; or nothing."""
        assert self.index is not None, "near twins were not asked for"
        near = self.index.find(asked_text(record), record.reply)
        return (self.sources[near.place], near.similarity) if near else ("", 0.0)


class Overlap:
    """Training rows that have a twin in the evaluation."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.same, self.near, self.shared = Cases(), Cases(), Cases()
        self.shared_texts: set[int] = set()
        self.stopped = ""

    def look(self, record: Record) -> None:
        if twin := self.evaluation.twin(record):
            self.same.add(record.source, excerpt(record.prompt), twin=twin)
            return
        self._look_at_texts(record)
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

    def _look_at_texts(self, record: Record) -> None:
        shared = self.evaluation.relatives(record)
        if shared:
            self.shared_texts.update(shared)
            twin = self.evaluation.sources[self.evaluation.texts[shared[0]]]
            self.shared.add(record.source, excerpt(record.prompt), twin=twin)

    def facts(self) -> dict[str, Any]:
        index = self.evaluation.index
        note = self.stopped
        if self.evaluation.unsearched:
            note += f"; {self.evaluation.unsearched:,} evaluation rows were not compared nearly"
        near = {**self.near.facts(), "note": note.removeprefix("; ")}
        return {
            "overlap": self.same.facts(),
            "shared_texts": self._shared_facts(),
            "near_overlap": None if index is None else {**near, "looked_at": index.looked_at},
        }

    def _shared_facts(self) -> dict[str, Any] | None:
        """The rows that have one text in common with others; None where none can have."""
        if not self.evaluation.has_pairs and not self.shared.rows:
            return None
        rows = self.evaluation.related_rows(self.shared_texts)
        note = f"with {rows:,} evaluation rows" if rows else ""
        return {**self.shared.facts(), "evaluation_rows": rows, "note": note}
