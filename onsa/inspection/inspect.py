"""One pass over the rows: every finding looks at each of them, and none holds their texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from onsa.errors import InputError
from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.characters import Characters, Span
from onsa.inspection.keys import Sources
from onsa.inspection.labels import Labels
from onsa.inspection.languages import Languages
from onsa.inspection.lengths import Lengths
from onsa.inspection.near import MOST_ROWS, NearIndex
from onsa.inspection.near_duplicates import NearDuplicates
from onsa.inspection.overlap import Evaluation, Overlap
from onsa.inspection.personal_data import PersonalData, find_personal_data
from onsa.inspection.records import Record
from onsa.inspection.repeats import Repeats
from onsa.inspection.tokens import Tokens

Facts = dict[str, Any]
FAULTS = ("empty", "misshapen")


@dataclass(frozen=True)
class Wanted:
    """What is to be looked for.

    `near_rows` is the number of rows in which near duplicates are searched: None for all, 0 for
    none. Without `must_find_near` a missing library is said, with it it is an error.
    """

    near_rows: int | None = MOST_ROWS
    must_find_near: bool = False
    find_personal: Callable[[str], list[Span]] = find_personal_data
    tokenizer: Any = None
    said: Callable[[int], None] = lambda rows: None  # called after each row with their number

    def near_index(self, notes: list[str]) -> NearIndex | None:
        """An index, or a note that says why there is none.

        Raises:
            InputError: its library is missing and it must be there.
        """
        if self.near_rows == 0:
            notes.append("near duplicates were not searched, as asked")
            return None
        try:
            return NearIndex(self.near_rows)
        except InputError as fault:
            if self.must_find_near:
                raise
            notes.append(f"near duplicates were not searched: {fault}")
            return None

    def evaluation(self, records: Iterable[Record]) -> Evaluation:
        """The evaluation rows, to be compared with."""
        index = self.near_index([])
        return Evaluation(index).add_all(records)


def inspect(
    records: Iterable[Record], wanted: Wanted, evaluation: Evaluation | None = None
) -> Facts:
    """What the rows are and what is wrong with them, as JSON.

    `findings` has for each name how many rows, of which kinds, and the first few of them.

    Raises:
        InputError: as the rows are read, where a file is broken.
    """
    notes: list[str] = []
    index = wanted.near_index(notes)
    view = View(wanted, index, Overlap(evaluation) if evaluation is not None else None)
    for record in records:
        view.look(record)
        wanted.said(len(view.sources))
    return view.facts(notes)


class View:
    """Every finding, as the rows go by."""

    def __init__(self, wanted: Wanted, index: NearIndex | None, overlap: Overlap | None) -> None:
        self.sources = Sources()
        self.rows_of: Counter[str] = Counter()
        self.faults = {name: Cases() for name in FAULTS}
        self.characters_long = Lengths("characters")
        self.tokens = Tokens(wanted.tokenizer) if wanted.tokenizer is not None else None
        self.languages, self.labels = Languages(), Labels()
        self.repeats = Repeats(self.sources)
        self.near = NearDuplicates(self.sources, index) if index is not None else None
        self.overlap = overlap
        self.characters = Characters()
        self.personal = PersonalData(wanted.find_personal)

    def look(self, record: Record) -> None:
        place = self.sources.add(record.source)
        self.rows_of[record.source.rpartition(":")[0] or record.source] += 1
        self.characters.look(record)
        self.personal.look(record)
        is_repeated = self.repeats.look(record, place)
        if record.fault:
            case = self.faults[record.fault]
            case.add(record.source, excerpt(record.text), what=record.why)
            return
        self.characters_long.look(record)
        self.languages.look(record)
        self.labels.look(record)
        if self.tokens is not None:
            self.tokens.look(record)
        if self.overlap is not None:
            self.overlap.look(record)
        if self.near is not None and not is_repeated:
            self.near.look(record, place)

    def facts(self, notes: list[str]) -> Facts:
        repeats = self.repeats.facts()
        overlap = self.overlap.facts() if self.overlap is not None else {}
        findings = {
            **{name: cases.facts() for name, cases in self.faults.items()},
            "duplicates": repeats["duplicates"],
            "near_duplicates": self.near.facts() if self.near is not None else None,
            "conflicts": repeats["conflicts"],
            **overlap,
            "characters": self.characters.facts(),
            "personal_data": self.personal.facts(),
        }
        return {
            "rows": len(self.sources),
            "rows_of": dict(self.rows_of),
            "evaluation_rows": len(self.overlap.evaluation.sources) if self.overlap else None,
            "characters": self.characters_long.facts(),
            "tokens": self.tokens.facts() if self.tokens is not None else None,
            "languages": self.languages.facts(),
            "labels": self.labels.facts(),
            "findings": {name: found for name, found in findings.items() if found is not None},
            "notes": notes,
        }
