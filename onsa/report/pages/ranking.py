"""The page of a comparison: which way to take, quality against cost, and every figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onsa.report import words
from onsa.report.drawing.charts import Mark, mark_strip
from onsa.report.drawing.pareto import Point, scatter
from onsa.report.drawing.svg import score_axis
from onsa.report.pages.frame import Said, Sections, render_page
from onsa.report.pages.sections import provenance
from onsa.report.pages.sections.results import trained_share
from onsa.report.scores import Facts, Metric, Score, metric_of
from onsa.report.words import number, scaled, short_told_name

QUALITY = Metric("average")
COSTS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("training_flops", "training FLOPs", scaled),
    ("seconds", "time", words.duration),
    ("peak_memory_bytes", "peak memory", words.memory),
    ("stored_bytes", "bytes on disk", words.memory),
    ("energy_kwh", "energy", words.energy),
)


def render_ranking(facts: Facts) -> str:
    """The page, from the JSON value of `compare.json`."""
    facts = words.printable(facts)
    said = Said(str(facts.get("headline") or ""), list(facts.get("sentences") or []))
    return render_page(facts, SECTIONS, said)


def done(facts: Facts) -> list[Facts]:
    """The rows with figures, the best first."""
    rows = [row for row in facts.get("rows") or [] if not row.get("why")]
    return sorted(rows, key=lambda row: -row["average"]["mean"])


def look_of(row: Facts, facts: Facts) -> str:
    if row["label"] == facts.get("best"):
        return "result"
    if row["label"] == "base":
        return "base"
    return "reference-1" if row.get("models", 1) > 1 else "baseline-1"


def fronts(facts: Facts) -> list[dict[str, Any]] | None:
    """A picture for each kind of cost that was measured."""
    rows = done(facts)
    pictures = []
    for key, name, text in COSTS:
        points = [
            Point(
                short_told_name(row["label"]),
                look_of(row, facts),
                cost,
                Score.read(row["average"]) or Score(row["average"]["mean"]),
                bool((row.get("front") or {}).get(key)),
            )
            for row in rows
            if (cost := number(row["cost"].get(key))) is not None
        ]
        if len({point.cost for point in points}) > 1:
            drawn = scatter(name, points, QUALITY, text)
            front = [point.label for point in points if point.on_front]
            pictures.append({"name": name, "picture": drawn, "front": words.listed(front)})
    return pictures or None


def ranking(facts: Facts) -> dict[str, Any] | None:
    """A row for each way: its average as a mark, the difference to the best, what it cost."""
    rows = done(facts)
    if not rows:
        return None
    scores = [Score.read(row["average"]) or Score(row["average"]["mean"]) for row in rows]
    axis = score_axis(QUALITY, scores, from_zero=True)
    views = []
    for row, score in zip(rows, scores, strict=True):
        mark = Mark(row["label"], look_of(row, facts), score)
        views.append(
            {
                **row,
                "strip": mark_strip(QUALITY, mark, axis),
                "score": score,
                "against": row.get("against_best"),
            }
        )
    failed = [row for row in facts.get("rows") or [] if row.get("why")]
    return {"rows": views, "failed": failed, "metric": QUALITY, "grouped": _grouped(rows[0])}


def _grouped(row: Facts) -> dict[str, tuple[float, float]]:
    """The tasks whose examples come in groups, with the number of examples and of groups."""
    entries = {**(row.get("scores") or {}), **(row.get("untrained") or {})}
    counts = {
        task: (number(each.get("n")), number(each.get("groups"))) for task, each in entries.items()
    }
    return {
        task: (n, groups) for task, (n, groups) in counts.items() if n and groups and groups < n
    }


def spent(facts: Facts) -> list[dict[str, Any]] | None:
    """A row for each way: everything that it took."""
    return [
        {
            **row["cost"],
            "label": row["label"],
            "share": trained_share(row["cost"], number(row["cost"].get("parameters"))),
        }
        for row in done(facts)
    ] or None


def by_task(facts: Facts) -> dict[str, Any] | None:
    return _by_task(facts, "tasks", "scores", _in_tasks)


def _in_tasks(row: Facts) -> Facts | None:
    return (row.get("against_best") or {}).get("tasks")


def untrained(facts: Facts) -> dict[str, Any] | None:
    return _by_task(facts, "untrained_tasks", "untrained", lambda row: row.get("forgotten"))


def _by_task(
    facts: Facts, tasks: str, scores: str, differences: Callable[[Facts], Facts | None]
) -> dict[str, Any] | None:
    """A column for each task: score, interval, and the judged difference."""
    rows = [row for row in done(facts) if row.get(scores)]
    told = {str(task.get("name")): task for task in facts.get(tasks) or []}
    if not rows or not told:
        return None
    metrics = {
        name: metric_of(task, [s for row in rows if (s := Score.read(row[scores].get(name)))])
        for name, task in told.items()
    }
    views = [
        {
            "label": row["label"],
            "cells": [
                {
                    "score": Score.read(row[scores].get(name)),
                    "difference": (differences(row) or {}).get(name),
                    "metric": metric,
                }
                for name, metric in metrics.items()
            ],
        }
        for row in rows
    ]
    return {"metrics": metrics, "rows": views}


def settings(facts: Facts) -> list[dict[str, Any]] | None:
    """How each way was set, and its notes."""
    notes = {row["label"]: row.get("notes") or [] for row in facts.get("rows") or []}
    return [
        {"label": label, **about, "notes": notes.get(label, [])}
        for label, about in (facts.get("ways") or {}).items()
    ] or None


SECTIONS: Sections = (
    ("fronts", "Quality against cost", fronts),
    ("ranking", "All ways, the best first", ranking),
    ("spent", "What each costs", spent),
    ("by_task", "Task by task", by_task),
    ("kept", "Tasks that were not trained", untrained),
    ("settings", "How each was set", settings),
    ("tasks", "Tasks and their data", provenance.tasks),
    ("provenance", "Where it comes from", provenance.provenance),
)
