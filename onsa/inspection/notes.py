"""What inspection finds in the rows of a task, in a sentence for each finding: for `onsa check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from onsa.data.example import Example
from onsa.data.places import MOST_NAMED
from onsa.inspection.inspect import Wanted, inspect
from onsa.inspection.records import record_of_example

# What check says of each finding that has rows, of one row and of several; exact overlap is refused
# or said elsewhere.
SENTENCES = {
    "duplicates": ("repeats an earlier row", "repeat an earlier row"),
    "near_duplicates": ("nearly repeats an earlier row", "nearly repeat an earlier row"),
    "conflicts": (
        "asks what an earlier row asks and replies otherwise",
        "ask what an earlier row asks and reply otherwise",
    ),
    "near_overlap": ("is nearly an evaluation row", "are nearly evaluation rows"),
    "characters": (
        "holds characters that no text should have",
        "hold characters that no text should have",
    ),
    "personal_data": ("holds personal data", "hold personal data"),
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
    for name, (one, several) in SENTENCES.items():
        found = findings.get(name)
        if found is None:
            continue
        if found["rows"]:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in found["kinds"].items())
            shown = "; ".join(filter(None, [kinds, _sources(found)]))
            said = f"row {one}" if found["rows"] == 1 else f"rows {several}"
            yield f"{found['rows']:,} training {said} ({shown})"
        if found.get("note"):
            yield f"{name.replace('_', ' ')}: {found['note'].split(';')[0]}"


def _sources(found: dict[str, Any]) -> str:
    """The first few rows, those with twins beside them, and how many more there are."""
    pairs = list(dict.fromkeys(_pair(case) for case in found["cases"]))[:MOST_NAMED]
    more = found["rows"] - len(pairs)
    return ", ".join(pairs) + (f" and {more:,} more" if more > 0 else "")


def _pair(case: dict[str, str]) -> str:
    return f"{case['source']} = {case['twin']}" if case.get("twin") else case["source"]
