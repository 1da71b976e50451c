"""A comparison on a terminal: what to take, and a line for each way."""

from __future__ import annotations

from typing import Any

from onsa.language import columns, tell
from onsa.report.pages.ranking import done
from onsa.report.words import duration, memory, percent, points, scaled, short_told_name

HEADS = ("", "average", "to the best", "weakest task", "FLOPs", "time", "on disk")


def ranking_lines(facts: dict[str, Any]) -> list[str]:
    """Headline, table, sentences, in the user's language."""
    table = [tuple(map(tell, HEADS)), *(_cells(row) for row in done(facts))]
    widths = [max(columns(row[column]) for row in table) for column in range(len(HEADS))]
    lines = [
        "  ".join(
            [row[0] + _room(row[0], widths[0])]
            + [_room(cell, wide) + cell for cell, wide in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in table
    ]
    return [tell(facts["headline"]), "", *lines, "", *map(tell, facts["sentences"])]


def _room(text: str, wide: int) -> str:
    """The spaces that fill a column; a Japanese letter is two columns wide."""
    return " " * (wide - columns(text))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    against, cost = row["against_best"], row["cost"]
    clear = "" if not against or against["is_clear"] else " ~"
    return (
        short_told_name(row["label"]),
        percent(row["average"]["mean"]),
        f"{tell(points(against['change']))}{clear}" if against else "",
        f"{row['worst']['task']} {percent(row['worst']['mean'])}",
        scaled(cost["training_flops"]),
        duration(cost["seconds"]),
        memory(cost["stored_bytes"]),
    )
