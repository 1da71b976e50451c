"""Examples that one model answers rightly and the other does not."""

from __future__ import annotations

from typing import Any

from onsa.report.drawing import charts
from onsa.report.scores import Facts, Metric, metrics_of
from onsa.report.words import number, signed


def flips(facts: Facts) -> dict[str, Any] | None:
    metrics = metrics_of(facts)
    groups = [flip_group(flip, metrics) for flip in facts.get("flips") or []]
    tasks = list(dict.fromkeys(group["task"] for group in groups if group["examples"]))
    return {"groups": groups, "tasks": tasks} if groups else None


def flip_group(flip: Facts, metrics: dict[str, Metric]) -> dict[str, Any]:
    """Counts, net and bar; nothing is right or wrong about a loss, it only rises or falls."""
    task = str(flip.get("task"))
    is_share = metrics.get(task, Metric()).is_share
    known = ("gained", "lost", *(("both_right", "both_wrong") if is_share else ()))
    counts = {key: number(flip.get(key)) for key in known}
    parts = [
        ("lost", counts["lost"], "loss"),
        ("both wrong", counts.get("both_wrong"), "wrong"),
        ("both right", counts.get("both_right"), "right"),
        ("gained", counts["gained"], "gain"),
    ]
    return {
        "from": flip.get("from"),
        "to": flip.get("to"),
        "p_value": flip.get("p_value"),
        **counts,
        "task": task,
        "net": signed((counts["gained"] or 0.0) - (counts["lost"] or 0.0), 0),
        "bar": charts.stacked_bar([(name, n, look) for name, n, look in parts if n is not None]),
        "examples": flip.get("examples") or [],
    }
