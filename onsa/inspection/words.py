"""The findings in words: for the table, the page and the notes alike."""

from __future__ import annotations

from typing import Any

# What each finding is called, how its rows are counted, and what it means.
FINDINGS = {
    "empty": ("empty", "empty", "no prompt or no reply"),
    "misshapen": ("misshapen", "misshapen", "not of the first row's shape"),
    "duplicates": ("duplicates", "duplicate", "the same as an earlier row"),
    "near_duplicates": ("near duplicates", "nearly duplicate", "nearly the same as an earlier row"),
    "conflicts": ("conflicts", "conflicting", "asked before, with another reply"),
    "overlap": ("overlap", "also in the evaluation", "an evaluation row too"),
    "shared_texts": (
        "shared texts",
        "sharing one text with the evaluation",
        "has one text in common with an evaluation row",
    ),
    "near_overlap": ("near overlap", "nearly in the evaluation", "nearly an evaluation row"),
    "characters": (
        "characters",
        "with odd characters",
        "control, invisible or lost characters, wrong encoding",
    ),
    "personal_data": (
        "personal data",
        "with personal data",
        "e-mail, phone, card, My Number, address",
    ),
}


def headline(facts: dict[str, Any]) -> str:
    """`12,345 rows: 120 duplicate, 3 with personal data`."""
    counted = [
        f"{found['rows']:,} {FINDINGS[name][1]}"
        for name, found in facts["findings"].items()
        if found["rows"]
    ]
    rows = f"{facts['rows']:,} row{'' if facts['rows'] == 1 else 's'}"
    return f"{rows}: {', '.join(counted) or 'nothing was found'}"


def search_notes(facts: dict[str, Any]) -> list[str]:
    """What was not searched, or not everywhere, and how the rows were read."""
    partly = [
        f"{FINDINGS[name][0]}: {found['note']}"
        for name, found in facts["findings"].items()
        if found.get("note")
    ]
    return [*facts["notes"], *partly]


def cleaning_lines(cleaned: dict[str, Any]) -> list[str]:
    """What cleaning did, in sentences."""
    by_rule = ", ".join(f"{rule} {count:,}" for rule, count in cleaned["by_rule"].items())
    lines = [
        f"{cleaned['rows']:,} rows = {cleaned['kept']:,} kept + {cleaned['dropped']:,} dropped; "
        f"{cleaned['changed']:,} of those kept were changed",
        f"by rule: {by_rule}",
        f"kept in {cleaned['output']}; dropped and changed rows as they were, with reasons, in "
        f"{cleaned['dropped_file']}",
    ]
    if cleaned["unsearched"]:
        lines.append(
            f"{cleaned['unsearched']:,} rows were not looked at by the near rules; --near all does"
        )
    return lines
