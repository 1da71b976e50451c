"""A comparison on a terminal: what to take, and a line for each way."""

from __future__ import annotations

from typing import Any

from onsa.report.ranking_page import done
from onsa.report.words import duration, memory, percent, points, scaled, short_name_of

HEADS = ("", "average", "to the best", "weakest task", "FLOPs", "time", "on disk")


def ranking_lines(facts: dict[str, Any]) -> list[str]:
    """Headline, table, sentences."""
    table = [HEADS, *(_cells(row) for row in done(facts))]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in table
    ]
    return [facts["headline"], "", *lines, "", *facts["sentences"]]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    against, cost = row["against_best"], row["cost"]
    clear = "" if not against or against["is_clear"] else " ~"
    return (
        short_name_of(row["label"]),
        percent(row["average"]["mean"]),
        f"{points(against['change'])}{clear}" if against else "",
        f"{row['worst']['task']} {percent(row['worst']['mean'])}",
        scaled(cost["training_flops"]),
        duration(cost["seconds"]),
        memory(cost["stored_bytes"]),
    )
