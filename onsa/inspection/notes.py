"""What inspection finds in the rows of a task, in a sentence for each finding: for `onsa check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from onsa.data.example import Example
from onsa.data.reading import MOST_NAMED
from onsa.inspection.inspect import Wanted, inspect
from onsa.inspection.records import record_of_example

# What check says of each finding that has rows; exact overlap is refused or said elsewhere.
SENTENCES = {
    "duplicates": "repeat an earlier row",
    "near_duplicates": "nearly repeat an earlier row",
    "conflicts": "ask what an earlier row asks and reply otherwise",
    "near_overlap": "are nearly evaluation rows",
    "characters": "hold characters that no text should have",
    "personal_data": "hold personal data",
}


def inspection_notes(train: Sequence[Example], evaluation: Sequence[Example]) -> list[str]:
    """A sentence with sources for each finding in the training rows of a task."""
    wanted = Wanted(near_rows=0) if near_is_missing() else Wanted()
    other = wanted.evaluation(record_of_example(example) for example in evaluation)
    facts = inspect((record_of_example(example) for example in train), wanted, other)
    return list(_sentences(facts["findings"]))


def near_is_missing() -> str:
    """A sentence where near duplicates cannot be searched, else nothing."""
    notes: list[str] = []
    return "" if Wanted().near_index(notes) else notes[0]


def _sentences(findings: dict[str, Any]) -> Iterator[str]:
    for name, what in SENTENCES.items():
        found = findings.get(name)
        if found is None:
            continue
        if found["rows"]:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in found["kinds"].items())
            shown = "; ".join(filter(None, [kinds, _sources(found)]))
            rows = "training row" if found["rows"] == 1 else "training rows"
            yield f"{found['rows']:,} {rows} {_verb(what, found['rows'])} ({shown})"
        if found.get("note"):
            yield f"{name.replace('_', ' ')}: {found['note']}"


def _verb(what: str, rows: int) -> str:
    """The sentence's verbs in the singular where it is about one row."""
    if rows != 1:
        return what
    for many, one in (("are ", "is "), ("repeat ", "repeats "), ("hold ", "holds ")):
        what = what.replace(many, one)
    return what.replace("ask what", "asks what").replace("reply ", "replies ")


def _sources(found: dict[str, Any]) -> str:
    """The first few rows, those with twins beside them, and how many more there are."""
    pairs = list(dict.fromkeys(_pair(case) for case in found["cases"]))[:MOST_NAMED]
    more = found["rows"] - len(pairs)
    return ", ".join(pairs) + (f" and {more:,} more" if more > 0 else "")


def _pair(case: dict[str, str]) -> str:
    return f"{case['source']} = {case['twin']}" if case.get("twin") else case["source"]
