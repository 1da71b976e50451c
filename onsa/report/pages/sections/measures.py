"""Figures over all rows of a task, its confusions and classes, and the normalised score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onsa.report.drawing.confusion import confusion_picture
from onsa.report.scores import Facts, Score, compared_results, metric_of, tuned_result
from onsa.report.words import MISSING, number, short_told_name

MOST_CLASSES = 60  # in the table by class


def measures(facts: Facts) -> list[dict[str, Any]] | None:
    """A table for each task that has figures of its own, over all results."""
    results = [result for result in facts.get("results") or [] if result.get("scores")]
    told = {str(task.get("name")): task for task in facts.get("tasks") or []}
    judged = [name for name, task in told.items() if task.get("agreement")]
    figured = [name for result in results for name in result.get("measures") or {}]
    names = dict.fromkeys([*figured, *judged] if results else [])
    return [_task_view(name, told.get(name) or {}, results) for name in names] or None


def _task_view(name: str, task: Facts, results: list[Facts]) -> dict[str, Any]:
    figures = [((result.get("measures") or {}).get(name) or {}) for result in results]
    kinds = dict.fromkeys(measure for each in figures for measure in each)
    entries = [entry for each in figures for entry in each.values() if entry]
    counts = {n for entry in entries if (n := number(entry.get("n"))) is not None}
    return {
        "task": name,
        "how": task.get("how") or "",
        "agreement": _agreement(task.get("agreement") or {}),
        "labels": [str(result.get("label")) for result in results],
        "rows": [_row(measure, figures, task.get("lower_is_better")) for measure in kinds],
        "n": counts.pop() if len(counts) == 1 else None,
        "reasons": _reasons(results, figures),
        **_classes(name, results),
    }


def _agreement(found: Facts) -> str:
    """How far the judge agrees with people, in words; nothing where nobody judges."""
    if not found:
        return ""
    rows = int(number(found.get("n")) or 0)
    if not rows:
        return "The judge was not checked against people: give a sample of their verdicts."
    said = [
        f"{name} {metric_of({'metric': name}, [score]).full_text(score)}"
        for name, key in (("the same verdict on", "share"), ("Cohen's kappa", "kappa"))
        if (score := Score.read(found.get(key)))
    ]
    missing = (
        ""
        if number((found.get("kappa") or {}).get("mean")) is not None
        else ("; kappa is not defined, all verdicts being alike")
    )
    return f"The judge against people: {'; '.join(said)}{missing}."


def _row(name: str, figures: list[Facts], lower: list[str] | None) -> dict[str, Any]:
    """A figure of all results; `lower` names those of which less is better, where it is told."""
    scores = [Score.read(each.get(name)) for each in figures]
    told = {"metric": name, "higher_is_better": None if lower is None else name not in lower}
    metric = metric_of(told, [score for score in scores if score])
    return {"metric": metric, "scores": scores}


def _reasons(results: list[Facts], figures: list[Facts]) -> list[str]:
    """Why a figure is not there, once for each result and reason."""
    said = []
    for result, each in zip(results, figures, strict=True):
        by_reason: dict[str, list[str]] = {}
        for name, entry in each.items():
            if entry and entry.get("why"):
                by_reason.setdefault(str(entry["why"]), []).append(name)
        label = short_told_name(result.get("label"))
        said += [f"{label}: {', '.join(names)}: {why}" for why, names in by_reason.items()]
    return said


def _classes(name: str, results: list[Facts]) -> dict[str, Any]:
    """The confusions of the tuned model and of what it is held against, and its classes."""
    tuned = tuned_result(results)
    shown = [*compared_results(results)[:1], *([tuned] if tuned else [])]
    tables: dict[str, Mapping[str, Any]] = {
        str(result.get("label")): table
        for result in shown
        if (table := (result.get("classes") or {}).get(name))
    }
    last = list(tables.values())[-1] if tables else {}
    rows = last.get("table") or []
    rows = sorted(rows, key=lambda row: -(number(row.get("support")) or 0))
    return {
        "pictures": [
            (label, confusion_picture(f"{name}, {short_told_name(label)}", *_square(table)))
            for label, table in tables.items()
        ],
        "shown": len(last.get("labels") or []),
        "classes": number(last.get("classes")) or 0,
        "by_class": rows[:MOST_CLASSES],
        "of": list(tables)[-1] if tables else MISSING,
        "more_classes": max(0, len(rows) - MOST_CLASSES),
    }


def _square(table: Mapping[str, Any]) -> tuple[list[str], list[list[float]], list[float]]:
    labels = [str(label) for label in table.get("labels") or []]
    counts = [[number(each) or 0.0 for each in row] for row in table.get("counts") or []]
    others = [number(each) or 0.0 for each in table.get("others") or [0.0] * len(labels)]
    whole = len(counts) == len(others) == len(labels)
    return (labels, counts, others) if whole else ([], [], [])


def normalised(facts: Facts) -> dict[str, Any] | None:
    """`Avg. Norm. Score` with the scale it was made by."""
    found = facts.get("normalised") or {}
    scores = {label: Score.read(entry) for label, entry in (found.get("scores") or {}).items()}
    told = {str(task.get("name")): task for task in facts.get("tasks") or []}
    scale = [
        {
            "task": task,
            "metric": metric_of(told.get(task) or {}, []),
            "worst": number((ends or {}).get("worst")),
            "best": number((ends or {}).get("best")),
        }
        for task, ends in (found.get("scale") or {}).items()
    ]
    if not any(scores.values()):
        return None
    metric = metric_of({"metric": "normalised score", "higher_is_better": True}, [Score(10.0)])
    rows = [(label, score) for label, score in scores.items() if score]
    return {
        "rows": sorted(rows, key=lambda row: -row[1].mean),
        "metric": metric,
        "scale": scale,
        "left_out": found.get("left_out") or [],
    }
