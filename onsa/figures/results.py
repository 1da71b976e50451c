"""What a result scored: means, figures over all rows, confusions, each with what it is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onsa.metrics.classification import confusion, per_class
from onsa.metrics.crossed import average_interval
from onsa.metrics.intervals import Interval, bootstrap_intervals, clustered_interval

if TYPE_CHECKING:
    from onsa.tasks import Task

Found = Mapping[str, Any]  # of one task: scores and replies by example
MOST_CLASSES = 12  # of a confusion matrix; of more, the ones that are confused most
TOP = 10.0  # of the normalised score


def scores_of(tasks: Sequence[Task], found: Mapping[str, Found]) -> dict[str, Any]:
    """Of one result: each task's mean score, its measures, and its classes where it has some."""
    measures = {task.name: measures_of(task, found[task.name]) for task in tasks}
    classes = {task.name: classes_of(task, found[task.name]) for task in tasks}
    return {
        "scores": {task.name: score_of(task, found[task.name]) for task in tasks},
        "measures": {name: figures for name, figures in measures.items() if figures},
        "classes": {name: table for name, table in classes.items() if table},
    }


def score_of(task: Task, found: Found, rows: int | None = None) -> dict[str, Any]:
    """The mean score of the first `rows` with its interval."""
    return {**_facts(_mean(task, found["scores"][:rows])), "loss": found.get("loss")}


def groups_of(task: Task, count: int | None = None) -> list[str]:
    """The group of each of the first `count` rows that are scored."""
    return [example.group for example in task.evaluation[:count]]


def measures_of(task: Task, found: Found) -> dict[str, Any]:
    """The kind's figures over all rows by name: mean, bounds, n, and `why` where undefined."""
    replies = found["replies"]
    examples = task.evaluation[: len(replies)]
    measure = task.measure(replies, examples)
    figures = {}
    if measure is not None:
        intervals = bootstrap_intervals(measure, groups_of(task, len(replies)))
        figures = {name: _facts(each, measure.undefined) for name, each in intervals.items()}
    mean = _mean(task, found["scores"])
    for name, change in task.restated.items():
        figures[name] = _facts(_restated(mean, change))
    if task.metric in figures:  # the mean score itself: one interval for one figure
        figures[task.metric] = _facts(mean)
    return figures


def classes_of(task: Task, found: Found) -> dict[str, Any] | None:
    """Figures by class, and how often each of the most confused was taken for each."""
    replies = found["replies"]
    pairs = task.classes(replies, task.evaluation[: len(replies)])
    if pairs is None:
        return None
    truth, said = pairs
    labels = sorted(set(truth))
    table = confusion(truth, said, labels)
    support = np.array([truth.count(label) for label in labels])
    chosen = _most_confused(table, support)
    kept = table[np.ix_(chosen, chosen)]
    return {
        "classes": len(labels),
        "labels": [labels[at] for at in chosen],
        "counts": kept.tolist(),
        "others": (support[chosen] - kept.sum(axis=1)).tolist(),
        "table": per_class(truth, said, labels),
    }


def average(tasks: Sequence[Task], found: Mapping[str, Found]) -> dict[str, float | None] | None:
    """The mean over tasks with a 95 % interval, or nothing where losses and shares would mix."""
    if len({task.higher_is_better for task in tasks}) > 1:
        return None
    tables = [_table(found[task.name]) for task in tasks]
    interval = average_interval(tables, _groups(tasks, tables))
    if all(task.is_share for task in tasks):
        interval = interval.within(0.0, 1.0)
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def normalised(
    tasks: Sequence[Task], found: Mapping[str, Mapping[str, Found]]
) -> dict[str, Any] | None:
    """`Avg. Norm. Score` of each result: 10 / T · Σ (score - worst) / (best - worst) over T tasks.

    Worst and best are those of the results in this report, by task, and are taken as given: the
    interval is about the rows. A task on which all are alike says nothing and is left out. Of two
    results it would only count who won, so there is none.
    """
    means = {
        task.name: {label: math.fsum(each[task.name]["scores"]) / len(each[task.name]["scores"])
                    for label, each in found.items()}
        for task in tasks
    }  # fmt: skip
    ends = {name: (min(each.values()), max(each.values())) for name, each in means.items()}
    kept = [task for task in tasks if ends[task.name][0] < ends[task.name][1]]
    if len(found) < 3 or not kept:
        return None
    scale = {t.name: ends[t.name] if t.higher_is_better else ends[t.name][::-1] for t in kept}
    return {
        "scale": {name: {"worst": worst, "best": best} for name, (worst, best) in scale.items()},
        "left_out": [task.name for task in tasks if task.name not in scale],
        "scores": {label: _facts(_normalised(kept, each, scale)) for label, each in found.items()},
    }


def _normalised(
    tasks: Sequence[Task],
    found: Mapping[str, Found],
    scale: Mapping[str, tuple[float, float]],
) -> Interval:
    tables = []
    for task in tasks:
        worst, best = scale[task.name]
        tables.append(TOP * (_table(found[task.name]) - worst) / (best - worst))
    return average_interval(tables, _groups(tasks, tables))


def _mean(task: Task, scores: Sequence[float]) -> Interval:
    interval = clustered_interval(scores, groups_of(task, len(scores)))
    return interval.within(0.0, 1.0) if task.is_share else interval


def _restated(interval: Interval, change: Any) -> Interval:
    """A monotone function of the mean and of its bounds."""

    def changed(value: float | None) -> float | None:
        return None if value is None else _finite(change(value))

    low, high = changed(interval.low), changed(interval.high)
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return Interval(change(interval.mean), low, high, interval.n)


def _facts(interval: Interval, undefined: str = "") -> dict[str, Any]:
    mean = _finite(interval.mean)
    facts = {"mean": mean, "low": interval.low, "high": interval.high, "n": interval.n}
    return facts if mean is not None else {**facts, "why": undefined or "not defined on these rows"}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _table(found: Found) -> NDArray[np.float64]:
    return np.array([found["scores"]], np.float64)


def _groups(tasks: Sequence[Task], tables: Sequence[NDArray[np.float64]]) -> list[list[str]]:
    return [groups_of(task, each.shape[1]) for task, each in zip(tasks, tables, strict=True)]


def _most_confused(table: NDArray[np.intp], support: NDArray[np.intp]) -> list[int]:
    """The classes with most confusion in their row and column, in the order of the labels."""
    hits = np.diag(table)
    wrong = (support - hits) + (table.sum(axis=0) - hits)
    return sorted(np.argsort(-wrong, kind="stable")[:MOST_CLASSES].tolist())
