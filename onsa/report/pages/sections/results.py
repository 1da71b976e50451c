"""The first card, all scores, tasks added later, and the cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from onsa.report.comparison import Comparison, compare_all
from onsa.report.drawing import charts, svg
from onsa.report.scores import (
    Facts,
    Metric,
    Score,
    baselines_of,
    metrics_of,
    role_of,
    score_in,
    tuned_result,
)
from onsa.report.verdict import addition, addition_results
from onsa.report.words import MISSING, number

MOST_COLUMNS = 3  # of comparisons in the card; the sentences name them all


def looks_of(results: Sequence[Facts]) -> dict[str, str]:
    """Label to look: colour and shape follow the role, several of one role are told apart."""
    looks: dict[str, str] = {}
    tuned = tuned_result(list(results))
    for result in results:
        role = "result" if result is tuned else role_of(result)
        same = sum(look.split("-")[0] == role for look in looks.values()) + 1
        label = str(result.get("label"))
        looks[label] = role if role in ("base", "result") else f"{role}-{min(same, 3)}"
    return looks


def score_card(
    results: list[Facts], metrics: dict[str, Metric], flips: list[Facts]
) -> dict[str, Any] | None:
    """A row for each task: the strip of all models, and the judged differences of the tuned one."""
    tuned = tuned_result(results)
    if tuned is None:
        return None
    comparisons = compare_all(results, metrics, flips)[:MOST_COLUMNS]
    looks = looks_of(results)
    scored = {task: marks_of(results, task, looks) for task in metrics}
    scored = {task: marks for task, marks in scored.items() if marks}
    shares = [mark.score for task in scored if metrics[task].is_share for mark in scored[task]]
    rows = []
    for task, marks in scored.items():
        metric = metrics[task]
        scores = shares if metric.is_share else [mark.score for mark in marks]
        axis = svg.score_axis(metric, scores, from_zero=metric.is_share)
        strip = charts.score_strip(task, metric, marks, axis)
        rows.append(card_row(task, metric, strip, score_in(tuned, task), comparisons))
    return {"rows": rows, "comparisons": comparisons, "looks": looks, "label": tuned.get("label")}


def card_row(
    task: str,
    metric: Metric,
    strip: Markup,
    score: Score | None,
    comparisons: Sequence[Comparison],
) -> dict[str, Any]:
    return {
        "task": task,
        "metric": metric,
        "strip": strip,
        "score": score,
        "differences": [comparison.on(task) for comparison in comparisons],
    }


def marks_of(results: list[Facts], task: str, looks: dict[str, str]) -> list[charts.Mark]:
    found = [(str(result.get("label")), score_in(result, task)) for result in results]
    return [charts.Mark(label, looks[label], score) for label, score in found if score is not None]


def first_card(facts: Facts) -> dict[str, Any] | None:
    results, flips = list(facts.get("results") or []), list(facts.get("flips") or [])
    return score_card(results, metrics_of(facts), flips) if results else None


def scores(facts: Facts) -> dict[str, Any] | None:
    results = [result for result in facts.get("results") or [] if result.get("scores")]
    if not results:
        return None
    metrics = metrics_of(facts)
    rows = [(task, metrics[task], [score_in(each, task) for each in results]) for task in metrics]
    averages = [Score.read(result.get("average")) for result in results]
    kinds = {(metric.is_share, metric.higher_is_better) for metric in metrics.values()}
    return {
        "labels": [str(result.get("label")) for result in results],
        "looks": looks_of(results),
        "rows": [row for row in rows if any(row[2])],
        "averages": averages if any(averages) else [],
        "average_metric": metric_for_average(kinds),
    }


def untrained(facts: Facts) -> dict[str, Any] | None:
    """What the model could do before and was not trained on: kept or forgotten."""
    section = facts.get("untrained") or {}
    results, flips = list(section.get("results") or []), list(section.get("flips") or [])
    metrics = metrics_of({"tasks": section.get("tasks"), "results": results})
    card = score_card(results, metrics, flips) if results and metrics else None
    return (
        {**card, "has_probe": any(name.startswith("probe.") for name in metrics)} if card else None
    )


def metric_for_average(kinds: set[tuple[bool, bool]]) -> Metric:
    """Per cent when every task is; otherwise a bare number that claims no unit."""
    is_share, higher = next(iter(kinds)) if len(kinds) == 1 else (False, True)
    return Metric("average", higher, is_share)


def additions(facts: Facts) -> list[dict[str, Any]] | None:
    metrics = metrics_of(facts)
    views = []
    for entry in facts.get("additions") or []:
        names = entry.get("task") or []
        names = [names] if isinstance(names, str) else names
        card = score_card(addition_results(entry), metrics, list(entry.get("flips") or []))
        said = addition(entry, metrics)
        views.append({**entry, "names": names, "card": card, "sentences": said})
    return views or None


def trained_share(cost: Facts, parameters: float | None) -> float | None:
    """The share of the base's entries that trained at once."""
    trained = number(cost.get("trained_entries"))
    return trained / parameters if trained and parameters else None


def cost(facts: Facts) -> list[dict[str, Any]] | None:
    keys = ("trained_tokens", "processed_tokens", "seconds", "peak_memory_bytes")
    results = [r for r in facts.get("results") or [] if any(number(r.get(key)) for key in keys)]
    parameters = number((facts.get("model") or {}).get("parameters"))
    baselines = baselines_of(results)
    unit = number(baselines[0].get("trained_tokens")) if baselines else None
    rows = []
    for result in results:
        tokens = number(result.get("trained_tokens"))
        times = f"× {tokens / unit:.2f}" if tokens and unit else MISSING
        share = trained_share(result, parameters)
        rows.append({**result, "times": times, "share": share})
    return rows or None
