"""The rules by which files are cleaned: each looks at one row and may change or drop it.

They are applied in the order of `RULES`. Rules that change a row come first, so that the others see
what will be written; rules that compare rows compare with rows that are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from onsa.errors import InputError, did_you_mean
from onsa.inspection.characters import Span, unwanted_characters, without_control
from onsa.inspection.keys import Sources, row_keys
from onsa.inspection.near import NearIndex, shown_text
from onsa.inspection.overlap import Evaluation
from onsa.inspection.personal_data import MASKS
from onsa.inspection.records import Record, Row, changed_texts
from onsa.inspection.repeats import Seen

RULES = {
    "control_characters": "control and invisible characters are taken out of all texts",
    "control_characters=drop": "rows with control or invisible characters are dropped",
    "personal_data": "e-mail addresses, phone, card and My Numbers, addresses are masked: [EMAIL]",
    "personal_data=drop": "rows with personal data are dropped",
    "broken_text": "rows with lost characters (U+FFFD) or text in a wrong encoding are dropped",
    "misshapen": "rows of another shape than the first are dropped",
    "empty": "rows without a prompt or reply are dropped",
    "overlap": "rows that are evaluation rows too are dropped (needs --eval)",
    "near_overlap": "rows that are nearly evaluation rows are dropped (needs --eval)",
    "conflicts": "all rows whose input has different replies are dropped",
    "duplicates": "rows that repeat a kept row are dropped",
    "near_duplicates": "rows that nearly repeat a kept row are dropped",
}
USUAL = ("control_characters", "empty", "overlap", "duplicates")  # lose nothing worth keeping
NEEDS_EVALUATION = ("overlap", "near_overlap")
NEEDS_NEAR = ("near_duplicates", "near_overlap")
LISTED_SPANS = 5  # in a reason


class Verdict(NamedTuple):
    """What a rule says of a row: drop it, or write `row` instead of it; and why."""

    rule: str
    why: str
    row: Row | None = None  # None: dropped


def parse_rules(text: str | None, has_evaluation: bool) -> list[str]:
    """Rules by their names with commas, in the order in which they are applied.

    Raises:
        InputError: an unknown rule, one with both of its ways, or one without what it needs.
    """
    if text is None:
        return [rule for rule in RULES if rule in USUAL and (has_evaluation or rule != "overlap")]
    asked = [name.strip() for name in text.split(",") if name.strip()]
    for name in asked:
        if name not in RULES:
            raise InputError(
                f"unknown rule {name!r}", where="--rules", way_out=did_you_mean(name, RULES)
            )
        if name in NEEDS_EVALUATION and not has_evaluation:
            raise InputError(
                f"{name} needs evaluation rows", where="--rules", way_out="give them with --eval"
            )
        if f"{name}=drop" in asked:
            raise InputError(
                f"{name} and {name}=drop are two answers", where="--rules", way_out="keep one"
            )
    if not asked:
        raise InputError("no rule is named", where="--rules", way_out=f"known: {', '.join(RULES)}")
    return [rule for rule in RULES if rule in asked]


@dataclass
class Rules:
    """The rules at work; rows come in order, at the places 0, 1, 2, ...

    `find_personal` finds personal data in a text; the evaluation and the index are there where a
    rule needs them.
    """

    names: Sequence[str]
    find_personal: Callable[[str], list[Span]]
    evaluation: Evaluation | None
    index: NearIndex | None
    conflicting: frozenset[int] | set[int] = frozenset()

    def __post_init__(self) -> None:
        self.sources = Sources()
        self.seen = Seen()
        self.unsearched = 0  # rows that the near rules did not look at

    def changes(self, record: Record) -> tuple[Record, list[Verdict]]:
        """The row as the rules that change rows leave it."""
        verdicts = []
        for name in ("control_characters", "personal_data"):
            if name in self.names:
                change = self._without_control if name == "control_characters" else self._masked
                verdict = change(record)
                if verdict is not None:
                    verdicts.append(verdict)
                    assert verdict.row is not None, "these rules change rows"
                    record = record.changed(verdict.row)
        return record, verdicts

    def drops(self, record: Record) -> Verdict | None:
        """The first rule that drops the row (as changed), if any does; else it is kept."""
        for name in self.names:
            why = DROPPING[name](self, record) if name in DROPPING else ""
            if why:
                return Verdict(name, why)
        self._keep(record)
        return None

    def _without_control(self, record: Record) -> Verdict | None:
        row = changed_row(record, without_control)
        return None if row == record.row else Verdict("control_characters", "taken out", row)

    def _masked(self, record: Record) -> Verdict | None:
        """What is found in the texts that a model would see is masked in every column."""
        found = {
            text[span.start : span.end]: span.kind
            for text in record.texts
            for span in self.find_personal(text)
        }
        if not found:
            return None
        # The longest first: one may be a part of another.
        masks = [(each, mask_of(found[each])) for each in sorted(found, key=len, reverse=True)]

        def mask(text: str) -> str:
            for each, name in masks:
                text = text.replace(each, name)
            return text

        kinds = ", ".join(sorted(set(found.values())))
        return Verdict("personal_data", f"masked: {kinds}", changed_row(record, mask))

    def _control(self, record: Record) -> str:
        return _spans(record, lambda text: _of_kind(text, "control", "invisible"))

    def _broken(self, record: Record) -> str:
        return _spans(record, lambda text: _of_kind(text, "lost", "wrong encoding"))

    def _personal(self, record: Record) -> str:
        return _spans(record, self.find_personal)

    def _still_personal(self, record: Record) -> str:
        """A mask that did not reach a text (its columns are joined to it) must not pass."""
        left = _spans(record, self.find_personal)
        return f"could not be masked in its columns: {left}" if left else ""

    def _empty(self, record: Record) -> str:
        return record.why if record.fault == "empty" else ""

    def _misshapen(self, record: Record) -> str:
        return record.why if record.fault == "misshapen" else ""

    def _overlap(self, record: Record) -> str:
        assert self.evaluation is not None, "asked for when the rules were read"
        twin = self.evaluation.twin(record) if not record.fault else ""
        return f"evaluation row {twin}" if twin else ""

    def _near_overlap(self, record: Record) -> str:
        assert self.evaluation is not None, "asked for when the rules were read"
        assert self.evaluation.index is not None, "asked for when the rules were read"
        if record.fault or self.evaluation.index.stop:
            self.unsearched += not record.fault
            return ""
        twin, similarity = self.evaluation.near_twin(record)
        return f"nearly evaluation row {twin} (similarity about {similarity:.2f})" if twin else ""

    def _conflict(self, record: Record) -> str:
        is_one = not record.fault and row_keys(record)[0] in self.conflicting
        return "its input has different replies" if is_one else ""

    def _duplicate(self, record: Record) -> str:
        if record.fault:
            return ""
        same, _ = self.seen.same(*row_keys(record))
        return "" if same is None else f"the same as {self.sources[same]}"

    def _near_duplicate(self, record: Record) -> str:
        assert self.index is not None, "asked for when the rules were read"
        if record.fault or self.index.stop:
            self.unsearched += not record.fault
            return ""
        near = self.index.find_or_add(shown_text(record), record.reply, len(self.sources))
        if near is None:
            return ""
        return f"nearly {self.sources[near.place]} (similarity about {near.similarity:.2f})"

    def _keep(self, record: Record) -> None:
        place = self.sources.add(record.source)
        prompt, reply = row_keys(record)
        self.seen.add(prompt, reply, place)


DROPPING: dict[str, Callable[[Rules, Record], str]] = {
    "control_characters=drop": Rules._control,
    "personal_data": Rules._still_personal,
    "personal_data=drop": Rules._personal,
    "broken_text": Rules._broken,
    "misshapen": Rules._misshapen,
    "empty": Rules._empty,
    "overlap": Rules._overlap,
    "near_overlap": Rules._near_overlap,
    "conflicts": Rules._conflict,
    "duplicates": Rules._duplicate,
    "near_duplicates": Rules._near_duplicate,
}


def changed_row(record: Record, change: Callable[[str], str]) -> Row:
    try:
        row: Row = changed_texts(record.row, change)
    except RecursionError:
        raise InputError("nested too deeply", where=record.source, way_out="flatten it") from None
    return row


def mask_of(kind: str) -> str:
    return MASKS.get(kind, f"[{kind.upper().replace(' ', '_')}]")


def _of_kind(text: str, *kinds: str) -> list[Span]:
    return [span for span in unwanted_characters(text) if span.kind in kinds]


def _spans(record: Record, find: Callable[[str], list[Span]]) -> str:
    """What is found in a row's texts, by kind; never the found text itself."""
    kinds = [span.kind for text in record.texts for span in find(text)]
    return ", ".join(sorted(set(kinds))[:LISTED_SPANS])
