"""The page of `onsa data`: what was found in the files, with examples, and what cleaning did."""

from __future__ import annotations

from typing import Any

from onsa.inspection.words import FINDINGS, cleaning_lines, headline, search_notes
from onsa.report import words
from onsa.report.drawing.bars import Bin, count_bar, histogram_panel
from onsa.report.pages.frame import Said, Sections, render_page
from onsa.report.scores import Facts

MOST_BARS = 80  # labels or languages; more are added up
LOOKS = {"characters": "loss", "empty": "loss", "misshapen": "loss", "overlap": "loss"}


def render_inspection(facts: Facts) -> str:
    """The page, from the JSON value that `onsa data --json` prints."""
    facts = words.printable(facts)
    sentences = cleaning_lines(facts["cleaned"]) if "cleaned" in facts else []
    return render_page(
        {**facts, "notes": search_notes(facts)}, SECTIONS, Said(headline(facts), sentences)
    )


def findings(facts: Facts) -> dict[str, Any]:
    """A row for each finding, and the first rows of those that have any."""
    largest = max((found["rows"] for found in facts["findings"].values()), default=0)
    rows = [
        {
            "title": FINDINGS[name][0],
            "meaning": FINDINGS[name][2],
            "bar": count_bar(FINDINGS[name][0], found["rows"], largest, LOOKS.get(name, "kept")),
            "share": found["rows"] / max(1, facts["rows"]),
            **found,
        }
        for name, found in facts["findings"].items()
    ]
    return {"rows": rows, "found": [row for row in rows if row["rows"]]}


def lengths(facts: Facts) -> list[dict[str, Any]] | None:
    """A histogram and quantiles for each unit that was counted."""
    views = []
    for unit in ("characters", "tokens"):
        found = facts.get(unit)
        if found:
            bins = [Bin(each["from"], each["to"], each["rows"]) for each in found["histogram"]]
            is_open = found["longest"][0]["length"] > bins[-1].high
            views.append({**found, "panel": histogram_panel(unit, bins, is_open)})
    return views or None


def languages(facts: Facts) -> dict[str, Any]:
    return _bars(facts["languages"]["rows"], facts["languages"]["cases"])


def labels(facts: Facts) -> dict[str, Any] | None:
    found = facts.get("labels")
    return {**_bars(found["labels"], {}), "imbalance": found["imbalance"]} if found else None


def _bars(counts: dict[str, int], cases: dict[str, Any]) -> dict[str, Any]:
    """A bar for each name, the most frequent first."""
    largest, total = max(counts.values(), default=0), sum(counts.values()) or 1
    shown = dict(list(counts.items())[:MOST_BARS])
    rest = {"names": len(counts) - len(shown), "rows": sum(counts.values()) - sum(shown.values())}
    rows = [
        {
            "name": name,
            "rows": rows,
            "share": rows / total,
            "bar": count_bar(name, rows, largest),
            "first": (cases.get(name) or [{}])[0].get("source", ""),
        }
        for name, rows in shown.items()
    ]
    return {"rows": rows, "rest": rest, "has_first": bool(cases)}


def files(facts: Facts) -> dict[str, Any]:
    return {key: facts[key] for key in ("rows_of", "shapes", "evaluation", "evaluation_rows")}


def cleaning(facts: Facts) -> Facts | None:
    cleaned: Facts | None = facts.get("cleaned")
    return cleaned


SECTIONS: Sections = (
    ("findings", "What was found", findings),
    ("lengths", "Lengths", lengths),
    ("languages", "Languages", languages),
    ("labels", "Labels", labels),
    ("cleaning", "Cleaning", cleaning),
    ("files", "Files", files),
)
