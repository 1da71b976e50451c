"""The stage × task matrix, its lines, and what each task kept: the seesaw made visible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from onsa.report.comparison import by_intervals
from onsa.report.drawing import charts, svg
from onsa.report.scores import Facts, Metric, baselines_of, is_branch, metrics_of, score_in
from onsa.report.words import MISSING, number, percent, signed


def stages(facts: Facts) -> list[dict[str, Any]] | None:
    metrics = metrics_of(facts)
    paths = [path for path in facts.get("paths") or [] if path.get("stages")]
    rival = next(iter(baselines_of(list(facts.get("results") or []))), None)
    return [path_view(path, metrics, rival) for path in paths] or None


def path_view(path: Facts, metrics: dict[str, Metric], rival: Facts | None) -> dict[str, Any]:
    """The stage × task matrix of one path, and its lines with the rival's end beside them."""
    rival = None if rival and rival.get("label") == path.get("label") else rival
    listed = path["stages"]
    tasks = [task for task in metrics if any(score_in(stage, task) for stage in listed)]
    columns = {task: stage_column(path, task, metrics[task]) for task in tasks}
    shade_columns(columns, metrics)
    labels = [str(stage.get("label")) for stage in listed]
    return {
        "label": path.get("label"),
        "level": rival and rival.get("label"),
        "tasks": [(task, metrics[task]) for task in tasks],
        "rows": [(label, [columns[task][i] for task in tasks]) for i, label in enumerate(labels)],
        "panels": [stage_panel(path, task, metrics[task], rival) for task in tasks],
        "has_branches": any(is_branch(stage) for stage in listed),
        "has_drops": any(cell.drop for column in columns.values() for cell in column),
    }


@dataclass
class StageCell:
    """One task at one stage: its text, its gain over the first stage, and whether it fell."""

    text: str = MISSING
    title: str = ""
    change: str = ""
    gain: float = 0.0
    drop: bool = False
    shade: str = ""


def stage_column(path: Facts, task: str, metric: Metric) -> list[StageCell]:
    """One task through the stages.

    A probe leads nowhere: what follows is neither measured against it nor expected to keep it.
    """
    cells = []
    first = before = best = None
    for stage in path["stages"]:
        score = score_in(stage, task)
        if score is None:
            cells.append(StageCell())
            continue
        cell = StageCell(metric.text(score.mean), metric.full_text(score))
        first, best = first or score, best or score
        cell.gain = metric.gain(first.mean, score.mean)
        cell.change = change_mark(metric, before.mean, score.mean) if before else ""
        cell.drop = by_intervals(best, score, metric) == "worse"
        if not is_branch(stage):
            before = score
            best = score if metric.gain(best.mean, score.mean) > 0 else best
        cells.append(cell)
    return cells


def change_mark(metric: Metric, before: float, after: float) -> str:
    change = after - before
    return signed(100 * change, 1) if metric.is_share else signed(change, metric.places(change))


def shade_columns(columns: dict[str, list[StageCell]], metrics: dict[str, Metric]) -> None:
    """Give each cell its shade: all shares on one scale, every other metric on its own."""
    shares = [cell for task, column in columns.items() if metrics[task].is_share for cell in column]
    alone = [column for task, column in columns.items() if not metrics[task].is_share]
    for cells in [shares, *alone]:
        largest = max((abs(cell.gain) for cell in cells), default=0.0)
        for cell in cells:
            cell.shade = svg.shade(cell.gain, largest)


def stage_panel(path: Facts, task: str, metric: Metric, rival: Facts | None) -> tuple[str, Markup]:
    stops = [
        charts.Stop(place, str(stage.get("label")), score, is_branch(stage))
        for place, stage in enumerate(path["stages"], 1)
        if (score := score_in(stage, task)) is not None
    ]
    found = score_in(rival, task) if rival else None
    level = charts.Mark(str(rival.get("label")), "baseline-1", found) if rival and found else None
    scores = [stop.score for stop in stops] + ([level.score] if level else [])
    axis = svg.score_axis(metric, scores, from_zero=False)
    return task, charts.stage_panel(task, metric, stops, axis, level)


def retention(facts: Facts) -> list[dict[str, Any]] | None:
    metrics = metrics_of(facts)
    views = []
    for label, tasks in (facts.get("retention") or {}).items():
        rows = [retention_row(task, entry or {}, metrics) for task, entry in (tasks or {}).items()]
        if rows:
            views.append({"label": label, "rows": rows})
    return views or None


def retention_row(task: str, entry: Facts, metrics: dict[str, Metric]) -> dict[str, Any]:
    metric = metrics.get(task, Metric())
    kept = number(entry.get("retention"))
    best, final = number(entry.get("best")), number(entry.get("final"))
    bounded = 0.0 if kept is None else min(1.0, max(0.0, kept))
    bar = charts.stacked_bar(
        [("kept", 100 * bounded, "kept"), ("lost", 100 * (1 - bounded), "rest")]
    )
    return {
        "task": task,
        "best": metric.text(best),
        "stage": entry.get("best_stage") or MISSING,
        "final": metric.text(final),
        "kept": percent(kept, 0),
        "bar": bar if kept is not None else "",
    }
