"""Ways of tuning held against each other: means over seeds and examples, and what they cost.

Scores are compared as qualities, of which more is better and which can be averaged: shares as they
are, losses as exp(-loss), the likelihood of a reply's token. Examples of one group (a passage) were
drawn together and are counted so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from onsa.figures.ranking_words import sentences
from onsa.figures.results import groups_of
from onsa.metrics.crossed import Estimate, Table, average_interval, crossed_interval, crossed_mean
from onsa.metrics.intervals import group_numbers
from onsa.report.comparison import SIGNIFICANCE, holm

if TYPE_CHECKING:
    from onsa.tasks import Task

COSTS = ("training_flops", "seconds", "peak_memory_bytes", "stored_bytes", "energy_kwh")
Tables = dict[str, Table]  # by task: seeds x examples
Groups = Mapping[str, Sequence[str]]  # by task: of each example


@dataclass(frozen=True)
class Outcome:
    """What one way with one seed came to; `why` says what stopped it, if something did."""

    label: str
    seed: int
    scores: dict[str, list[float]] = field(default_factory=dict)
    untrained: dict[str, list[float]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    models: int = 1  # specialists are several, and so no answer to what one model can do
    why: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)  # by task: scores and replies by row


def rank(
    outcomes: Sequence[Outcome], tasks: Sequence[Task], untrained: Sequence[Task], budget: str
) -> dict[str, Any]:
    """The figures of `compare.json`: a row for each way, the best, the recommended, and why."""
    by_label: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_label.setdefault(outcome.label, []).append(outcome)
    done = {label: found for label, found in by_label.items() if not _fault(found)}
    qualities = {label: _tables(found, tasks, "scores") for label, found in done.items()}
    groups = {task.name: groups_of(task) for task in (*tasks, *untrained)}
    averages = {label: _mean_over(each, groups) for label, each in qualities.items()}
    single = [label for label, found in done.items() if found[0].models == 1]
    best = max(single or done, key=lambda label: averages[label].mean, default=None)
    against = _against(best, qualities, groups) if best else {}
    forgotten = _forgotten(done, untrained, groups)
    rows = [
        {
            "label": label,
            "why": _fault(found),
            "notes": sorted({note for each in found for note in each.notes}),
            **(
                {
                    **_row(found, tasks, untrained),
                    "average": _average(qualities[label], groups),
                    "worst": _worst(qualities[label]),
                    "against_best": against.get(label),
                    "forgotten": forgotten.get(label, {}),
                }
                if label in done
                else {}
            ),
        }
        for label, found in by_label.items()
    ]
    _mark_fronts(rows)
    ranking = {"rows": rows, "best": best, "smallest_difference": _smallest_difference(against)}
    return {**ranking, **sentences(ranking, budget)}


def _fault(found: Sequence[Outcome]) -> str:
    """Why a way has no figures: the first of its seeds that failed."""
    failed = [each for each in found if each.why]
    if not failed:
        return ""
    seeds = f" ({len(failed)} of {len(found)} seeds)" if len(found) > 1 else ""
    return f"{failed[0].why}{seeds}"


def _tables(found: Sequence[Outcome], tasks: Sequence[Task], kind: str) -> Tables:
    """Qualities, seeds x examples, of the tasks that were scored."""
    tables = {}
    for task in tasks:
        scores = [getattr(each, kind).get(task.name) for each in found]
        if all(scores):
            table = np.array(scores, dtype=np.float64)
            tables[task.name] = table if task.higher_is_better else np.exp(-table)
    return tables


def _mean_over(tables: Tables, groups: Groups) -> Estimate:
    return crossed_mean(list(tables.values()), [groups[task] for task in tables])


def _row(
    found: Sequence[Outcome], tasks: Sequence[Task], untrained: Sequence[Task]
) -> dict[str, Any]:
    """Scores as they were taken, and the mean cost of a seed."""
    return {
        "seeds": [each.seed for each in found],
        "models": found[0].models,
        "scores": {task.name: _score(found, task, "scores") for task in tasks},
        "untrained": {
            task.name: _score(found, task, "untrained") for task in untrained if found[0].untrained
        },
        "cost": _mean_cost([each.cost for each in found]),
        "runs": [
            {"seed": each.seed, "scores": each.scores, "untrained": each.untrained, **each.cost}
            for each in found
        ],
    }


def _score(found: Sequence[Outcome], task: Task, kind: str) -> dict[str, Any]:
    table = np.array([getattr(each, kind)[task.name] for each in found], float)
    groups = groups_of(task)
    interval = crossed_interval(table, groups)
    if task.is_share:
        interval = interval.within(0.0, 1.0)
    facts = {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}
    return {**facts, "groups": int(group_numbers(groups).max()) + 1}


def _average(tables: Tables, groups: Groups) -> dict[str, Any]:
    """The average quality with its interval, and each seed's own."""
    own = [groups[task] for task in tables]
    interval = average_interval(list(tables.values()), own).within(0.0, 1.0)
    by_seed = np.mean([table.mean(axis=1) for table in tables.values()], axis=0)
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "by_seed": [float(each) for each in by_seed],
    }


def _worst(tables: Tables) -> dict[str, Any]:
    name = min(tables, key=lambda name: float(tables[name].mean()))
    return {"task": name, "mean": float(tables[name].mean())}


def _against(best: str, qualities: Mapping[str, Tables], groups: Groups) -> dict[str, Any]:
    """The paired differences to the best way, p-values corrected for all that are compared."""
    others = {label: tables for label, tables in qualities.items() if label != best}
    ours = qualities[best]
    gaps = {
        label: {task: tables[task] - ours[task] for task in ours}
        for label, tables in others.items()
    }
    differences = {label: _mean_over(each, groups) for label, each in gaps.items()}
    by_task = {
        task: {label: _mean_over({task: each[task]}, groups) for label, each in gaps.items()}
        for task in ours
    }
    told = _judged(differences)
    in_tasks = {task: _judged(found) for task, found in by_task.items()}
    return {
        label: {**told[label], "tasks": {task: in_tasks[task][label] for task in ours}}
        for label in others
    }


def _judged(differences: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    """Each difference with its interval and its p-value after Holm's correction over them all."""
    corrected = holm([each.p_value for each in differences.values()])
    told = {}
    for (label, each), p_value in zip(differences.items(), corrected, strict=True):
        interval = each.interval(0)
        told[label] = {
            "change": each.mean,
            "low": interval.low,
            "high": interval.high,
            "p_value": p_value,
            "is_clear": p_value < SIGNIFICANCE,
        }
    return told


def _forgotten(
    done: Mapping[str, Sequence[Outcome]], untrained: Sequence[Task], groups: Groups
) -> dict[str, dict[str, Any]]:
    """What each way changed on tasks that were not trained, against the base on the same rows."""
    if "base" not in done:
        return {}
    base = _tables(done["base"], untrained, "untrained")
    found = {
        label: _tables(outcomes, untrained, "untrained")
        for label, outcomes in done.items()
        if label != "base"
    }
    judged: dict[str, dict[str, Any]] = {}
    for task in base:
        differences = {
            label: _mean_over({task: tables[task] - base[task]}, groups)
            for label, tables in found.items()
            if task in tables
        }
        for label, told in _judged(differences).items():
            judged.setdefault(label, {})[task] = told
    return judged


def _mean_cost(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over seeds; of memory the most."""
    mean: dict[str, float | None] = {}
    for key in costs[0]:
        values = [cost[key] for cost in costs]
        if any(value is None for value in values):
            mean[key] = None
        elif key.startswith("peak"):
            mean[key] = max(values)
        else:
            mean[key] = math.fsum(values) / len(values)
    return mean


def _mark_fronts(rows: Sequence[dict[str, Any]]) -> None:
    """For each kind of cost, the ways that no other beats in quality without costing more."""
    for row in rows:
        row["front"] = {}
    for cost in COSTS:
        known = [row for row in rows if (row.get("cost") or {}).get(cost) is not None]
        for row in known:
            row["front"][cost] = not any(_beats(other, row, cost) for other in known)


def _beats(one: Mapping[str, Any], other: Mapping[str, Any], cost: str) -> bool:
    better = one["average"]["mean"] - other["average"]["mean"]
    cheaper = other["cost"][cost] - one["cost"][cost]
    return better >= 0 and cheaper >= 0 and (better > 0 or cheaper > 0)


def _smallest_difference(against: Mapping[str, Any]) -> float | None:
    """About how far two ways must lie apart to be told apart here: a middle half-width."""
    widths = sorted(
        (each["high"] - each["low"]) / 2 for each in against.values() if each["high"] is not None
    )
    return widths[len(widths) // 2] if widths else None
