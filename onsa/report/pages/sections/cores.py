"""Overlap and transfer between tasks, their groups, and where the cores lie."""

from __future__ import annotations

import math
from typing import Any

from onsa.report.drawing import charts
from onsa.report.drawing.svg import LEVELS, shade
from onsa.report.scores import Facts
from onsa.report.words import MISSING, decimal, number, percent, signed


def matrix_cells(matrix: Any, tasks: list[Any]) -> list[list[float | None]]:
    """The matrix as a square of numbers, with None where it has a hole."""
    rows = list(matrix or [])
    size = len(tasks)
    padded = [list(row or []) + [None] * size for row in rows[:size]] + [[None] * size] * size
    return [[number(value) for value in row[:size]] for row in padded[:size]]


def overlap(facts: Facts) -> dict[str, Any] | None:
    told = facts.get("overlap") or {}
    tasks, chance, threshold = (
        told.get("tasks") or [],
        number(told.get("chance")),
        told.get("threshold"),
    )
    if len(tasks) < 2:
        return None
    edge = number(threshold)
    cells = matrix_cells(told.get("jaccard"), tasks)
    largest = max(
        (v for i, row in enumerate(cells) for j, v in enumerate(row) if v and i != j), default=0.0
    )
    rows = []
    for i, (task, row) in enumerate(zip(tasks, cells, strict=True)):
        rows.append(
            (task, [overlap_cell(v, i == j, chance, edge, largest) for j, v in enumerate(row)])
        )
    return {"tasks": tasks, "rows": rows, "chance": chance, "threshold": edge}


def overlap_cell(
    value: float | None, is_same: bool, chance: float | None, edge: float | None, largest: float
) -> dict[str, Any]:
    if is_same or value is None:
        return {"text": MISSING, "note": "", "shade": "same" if is_same else "", "edge": False}
    note = f"× {value / chance:.1f} chance" if chance else ""
    level = min(LEVELS, math.ceil(LEVELS * value / largest)) if largest > 0 else 0
    is_edge = edge is not None and value >= edge
    shaded = f"dense-{level}" if level else ""
    return {"text": decimal(value), "note": note, "shade": shaded, "edge": is_edge}


def transfer(facts: Facts) -> dict[str, Any] | None:
    told = facts.get("transfer") or {}
    tasks = told.get("tasks") or []
    if len(tasks) < 2:
        return None
    gains, losses = matrix_cells(told.get("matrix"), tasks), matrix_cells(told.get("loss"), tasks)
    rows = []
    for i, task in enumerate(tasks):
        cells = []
        for j, (value, loss) in enumerate(zip(gains[i], losses[i], strict=True)):
            note = "" if loss is None else f"loss {decimal(loss, 2)}"
            # Beyond ± 1 (as good, or as bad, as the task's own probe is good) the shade is full.
            shaded = "same" if i == j else shade(max(-1.0, min(1.0, value or 0.0)), 1.0)
            text = MISSING if value is None else signed(value, 2)
            cells.append({"text": text, "note": note, "shade": shaded})
        rows.append((task, cells))
    base = [number(value) for value in told.get("base_loss") or []]
    return {"tasks": tasks, "rows": rows, "base_loss": base if len(base) == len(tasks) else []}


def groups(facts: Facts) -> dict[str, Any] | None:
    order = facts.get("order") or {}
    found = order.get("sequence") or facts.get("groups") or []
    return {"groups": found, "rule": order.get("rule"), "why": order.get("why")} if found else None


def cores(facts: Facts) -> list[dict[str, Any]] | None:
    return [
        core_view(task, core or {}) for task, core in (facts.get("cores") or {}).items()
    ] or None


def core_view(task: str, core: Facts) -> dict[str, Any]:
    cells = [cell for cell in core.get("cells") or [] if number(cell.get("of"))]
    blocks = block_order({str(cell.get("block")) for cell in cells})
    roles = list(dict.fromkeys(str(cell.get("role")) for cell in cells))
    whole = sum(number(cell.get("entries")) or 0.0 for cell in cells) or 1.0
    room = sum(number(cell.get("of")) or 0.0 for cell in cells) or 1.0
    rows = []
    for role in roles:
        own = [cell for cell in cells if str(cell.get("role")) == role]
        drawn = [core_cell(cell, blocks, whole / room) for cell in own]
        held = sum(number(cell.get("entries")) or 0.0 for cell in own)
        strip = charts.core_strip(f"{task}, {role}", drawn, len(blocks))
        rows.append({"role": role, "strip": strip, "share": held / whole})
    axis = charts.core_axis(blocks)
    return {
        "task": task,
        "rows": rows,
        "axis": axis,
        "entries": core.get("entries"),
        "share": core.get("share"),
    }


def block_order(blocks: set[str]) -> list[str]:
    """Embeddings first, the numbered blocks, then the final norm and the head."""
    places = {"embeddings": 0, "norm": 3, "head": 4}
    return sorted(
        blocks, key=lambda b: (1, int(b), b) if b.isdecimal() else (places.get(b, 2), 0, b)
    )


def core_cell(cell: Facts, blocks: list[str], average: float) -> charts.Cell:
    """How dense the core lies in one block and role: 0 is below 1/4 of the average, 5 above 4."""
    entries, room = number(cell.get("entries")) or 0.0, number(cell.get("of")) or 1.0
    density = entries / room
    times = density / average if average else 0.0
    level = 0 if times <= 0 else max(0, min(LEVELS, math.floor(math.log2(times)) + 3))
    block, role = str(cell.get("block")), cell.get("role")
    amount = f"{entries:,.0f} of {room:,.0f} entries"
    text = f"block {block}, {role}: {amount} ({percent(density, 2)}, × {times:.1f})"
    return charts.Cell(blocks.index(block), level, text)
