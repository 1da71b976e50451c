"""Loss curves, the fusion, and the proof of what was held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onsa.report.drawing import charts
from onsa.report.scores import Facts, Score, metric_of, metrics_of
from onsa.report.words import number

TASK_COLOURS = 8
MOST_TENSORS = 500  # shown of the fusion's table


def curves(facts: Facts) -> dict[str, Any] | None:
    drawn, mixed = {}, {}
    for curve in facts.get("curves") or []:
        points = {task: clean_points(found) for task, found in (curve.get("points") or {}).items()}
        points = {task: found for task, found in points.items() if found}
        if points:
            label = str(curve.get("label"))
            drawn[label], mixed[label] = points, mixture(curve.get("rows") or {})
    tasks = list(
        dict.fromkeys([*metrics_of(facts), *(t for points in drawn.values() for t in points)])
    )
    colours = {task: place % TASK_COLOURS for place, task in enumerate(tasks)}
    panels = [
        (label, mixed[label], charts.loss_panel(label, points, colours))
        for label, points in drawn.items()
    ]
    shown = {task for points in drawn.values() for task in points}
    legend = [(task, colour) for task, colour in colours.items() if task in shown]
    return {"panels": panels, "legend": legend} if panels else None


def mixture(rows: Mapping[str, int]) -> str:
    """How many rows of each task a training drew, where it mixed several."""
    whole = sum(rows.values())
    if len(rows) < 2:
        return ""
    return ", ".join(f"{task} {count:,} ({count / whole:.0%})" for task, count in rows.items())


def best_state(facts: Facts) -> dict[str, Any] | None:
    """How each task's score went while it was trained, and the step that was kept."""
    metrics = metrics_of(facts)
    colours = {task: place % TASK_COLOURS for place, task in enumerate(metrics)}
    panels = []
    for found in facts.get("best_states") or []:
        for shares in (True, False):  # per cent and losses have no axis in common
            tasks = [task for task, metric in metrics.items() if metric.is_share == shares]
            points = {task: _way(found, task) for task in tasks}
            drawn = {task: way for task, way in points.items() if way}
            kept = number(found.get("best_step"))
            if drawn and kept is not None:
                metric = metrics[next(iter(drawn))]
                panel = charts.way_panel(str(found.get("label")), metric, drawn, colours, kept)
                panels.append({"label": found.get("label"), "said": _kept(found), "panel": panel})
        panels += _panel_of_figure(found, colours)
    return {"panels": panels, "legend": [*colours.items()]} if panels else None


def _panel_of_figure(found: Facts, colours: dict[str, int]) -> list[dict[str, Any]]:
    """What the best state was by, where that is not a score that is drawn already."""
    figure, name = found.get("figure") or {}, str(found.get("metric"))
    kept, way = number(found.get("best_step")), _way(found, name, "figures")
    if not figure or kept is None or not way:
        return []
    told = {"metric": figure.get("name"), "higher_is_better": figure.get("higher_is_better")}
    metric = metric_of(told, [Score(value) for _, value in way])
    colour = {name: colours.get(str(figure.get("task")), 0)}
    panel = charts.way_panel(str(found.get("label")), metric, {name: way}, colour, kept)
    label = f"{found.get('label')}: {name}"
    return [{"label": label, "said": _kept(found), "panel": panel}]


def _way(found: Facts, name: str, kind: str = "scores") -> list[charts.Point]:
    points = found.get("points") or []
    return clean_points([[p.get("step"), (p.get(kind) or {}).get(name)] for p in points])


def _kept(found: Facts) -> str:
    last, planned = number(found.get("last_step")), number(found.get("planned_steps"))
    stopped = last is not None and planned is not None and last < planned
    end = f", stopped at {last:.0f} of {planned:.0f}" if stopped else ""
    return f"step {number(found.get('best_step')):.0f} kept{end}"


def clean_points(points: Any) -> list[charts.Point]:
    found = [(number(pair[0]), number(pair[1])) for pair in points or [] if len(pair) == 2]
    return [(x, y) for x, y in found if x is not None and y is not None]


def fusion(facts: Facts) -> dict[str, Any] | None:
    told = facts.get("fusion") or {}
    if not told:
        return None
    branches = [(name, number(n) or 0.0) for name, n in (told.get("branches") or {}).items()]
    looks = {"slerp": "gain", "linear": "wrong", "copied": "right"}
    bar = charts.stacked_bar([(name, n, looks.get(name, "rest")) for name, n in branches])
    tensors = told.get("tensors") or []
    return {
        **told,
        "branches": [(name, n, looks.get(name, "rest")) for name, n in branches],
        "bar": bar if branches else "",
        "tensors": tensors[:MOST_TENSORS],
        "left_out": max(0, len(tensors) - MOST_TENSORS),
    }


def held(facts: Facts) -> list[dict[str, Any]] | None:
    rows = []
    for entry in facts.get("held") or []:
        before, after = entry.get("digest_before"), entry.get("digest_after")
        changed = number(entry.get("changed"))
        broken = bool(changed) or (before and after and before != after)
        known = changed is not None or (before and after)
        proof = "broken" if broken else "kept" if known else "unknown"
        rows.append({**entry, "proof": proof if number(entry.get("entries")) != 0 else "nothing"})
    return rows or None


def angles(facts: Facts) -> list[dict[str, Any]] | None:
    """How far each layer turned in full training, and which of them trained afterwards."""
    views = []
    for label, found in (facts.get("angles") or {}).items():
        for role, (points, chosen) in _by_role(found).items():
            drawn = charts.angle_panel(role, points, chosen)
            views.append({"label": label, "role": role, "panel": drawn})
    return views or None


def _by_role(found: Facts) -> dict[str, tuple[list[charts.Point], list[float]]]:
    """By role: (block, angle in mrad) from the lowest block up, and the blocks that were chosen."""
    chosen = {(str(block), str(role)) for block, role in found.get("chosen") or []}
    roles: dict[str, dict[float, float]] = {}
    for layer in found.get("layers") or []:
        block, role, angle = str(layer.get("block")), str(layer.get("role")), layer.get("angle")
        if block.isdecimal() and number(angle) is not None:
            roles.setdefault(role, {})[float(block)] = 1000 * float(angle)
    return {
        role: (
            sorted(points.items()),
            [block for block in sorted(points) if (f"{block:.0f}", role) in chosen],
        )
        for role, points in roles.items()
        if len(points) > 1
    }
