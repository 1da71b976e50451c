"""What `onsa data` found, for a person."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from onsa.inspection.words import FINDINGS, cleaning_lines, headline, search_notes
from onsa.language import tell
from onsa.report.words import printable

MOST_LABELS = 20
MOST_CASES = 3  # of each finding; --json and the page have more


def show(facts: dict[str, Any]) -> None:
    """Print the facts as tables; rich counts the columns that wide characters take."""
    facts = printable(facts)  # texts of files move no cursor
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(tell(headline(facts)) + "\n")
    for table in (_files(facts), _lengths(facts), _shares(facts), _findings(facts), _cases(facts)):
        if table.row_count:
            console.print(table)
    for note in search_notes(facts):
        console.print(tell(f"note: {note}"))
    for line in cleaning_lines(facts["cleaned"]) if "cleaned" in facts else []:
        console.print(tell(line))


def _table(texts: int, *names: str) -> Table:
    """A table without lines: the first columns hold text, which may wrap, the others numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        if place < texts:
            table.add_column(tell(name), overflow="fold", min_width=6)
        else:
            table.add_column(tell(name), justify="right", no_wrap=True)
    return table


def _files(facts: dict[str, Any]) -> Table:
    table = _table(2, "files", "shape", "rows")
    shapes = ", ".join(sorted(set(facts["shapes"].values())))
    for name, rows in list(facts["rows_of"].items())[:MOST_LABELS]:
        table.add_row(name, shapes, f"{rows:,}")
    more = list(facts["rows_of"].values())[MOST_LABELS:]
    if more:
        table.add_row(tell(f"{len(more):,} more"), "", f"{sum(more):,}")
    if facts["evaluation"]:
        table.add_row(facts["evaluation"], tell("evaluation"), f"{facts['evaluation_rows']:,}")
    return table


def _lengths(facts: dict[str, Any]) -> Table:
    shown = {"0": "least", "0.25": "25 %", "0.5": "median", "0.75": "75 %", "0.95": "95 %"}
    table = _table(1, "lengths", *shown.values(), "most", "all")
    for unit in ("characters", "tokens"):
        found = facts[unit]
        if found:
            levels = [f"{found['quantiles'][share]:,}" for share in (*shown, "1")]
            table.add_row(tell(unit), *levels, f"{found['total']:,}")
    return table


def _shares(facts: dict[str, Any]) -> Table:
    """Languages, then labels, with their share of the rows."""
    table = _table(2, "", "", "rows", "share")
    counted = {"languages": facts["languages"]["rows"]}
    if facts["labels"]:
        counted["labels"] = facts["labels"]["labels"]
    for name, counts in counted.items():
        total = sum(counts.values()) or 1
        for place, (each, rows) in enumerate(list(counts.items())[:MOST_LABELS]):
            shown = tell(each) if name == "languages" else each  # labels are the data's own words
            table.add_row("" if place else tell(name), shown, f"{rows:,}", f"{rows / total:.1%}")
        if len(counts) > MOST_LABELS:
            rest = sum(list(counts.values())[MOST_LABELS:])
            more = f"{len(counts) - MOST_LABELS:,} more"
            table.add_row("", tell(more), f"{rest:,}", f"{rest / total:.1%}")
        table.add_section()
    return table


def _findings(facts: dict[str, Any]) -> Table:
    table = _table(2, "findings", "what it means", "rows", "share")
    for name, found in facts["findings"].items():
        title, _, meaning = FINDINGS[name]
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in found["kinds"].items())
        share = f"{found['rows'] / max(1, facts['rows']):.2%}" if found["rows"] else ""
        table.add_row(tell(title), kinds or tell(meaning), f"{found['rows']:,}", share)
    return table


def _cases(facts: dict[str, Any]) -> Table:
    """The first few rows of each finding."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("finding", "row", "what"):
        table.add_column(tell(name), overflow="fold", min_width=8)
    table.add_column(tell("text"), overflow="fold", ratio=1)
    for name, found in facts["findings"].items():
        for place, case in enumerate(found["cases"][:MOST_CASES]):
            twin = f" = {case['twin']}" if "twin" in case else ""
            what = ": ".join(tell(case[key]) for key in ("kind", "what") if key in case)
            title = "" if place else tell(FINDINGS[name][0])
            table.add_row(title, case["source"] + twin, what, case["text"])
    return table
