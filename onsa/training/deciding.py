"""What the best state is by: the mean over tasks, the worst of them, or a figure of one task."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onsa.errors import InputError, did_you_mean
from onsa.metrics.figures import find_figure, written
from onsa.recipe.training import OVER_ALL, parts_of_metric

if TYPE_CHECKING:
    from onsa.tasks import Task

Found = Mapping[str, Mapping[str, Any]]  # by task: scores and replies by row
DIGITS = 6  # of what is kept


@dataclass(frozen=True)
class Figure:
    """A figure of one task, by the name that the report has for it."""

    task: str
    name: str
    higher_is_better: bool

    @property
    def metric(self) -> str:
        """As a recipe names it."""
        return f"{self.task}.{written(self.name)}"


@dataclass(frozen=True)
class Decider:
    """Says how good a scoring is. `figure` is what it goes by, where that is not a score."""

    metric: str
    tasks: tuple[Task, ...]
    figure: Figure | None

    def value(self, found: Found) -> float | None:
        """The higher the better: what should be low counts below zero. None: not defined."""
        if self.figure is not None:
            return self._figure_in(found)
        values = {task.name: _mean_score(task, found) for task in self.tasks}
        if self.metric == "average":
            return statistics.fmean(values.values())
        return min(values.values()) if self.metric == "worst_task" else values[self.metric]

    def _figure_in(self, found: Found) -> float | None:
        assert self.figure is not None
        task = next(task for task in self.tasks if task.name == self.figure.task)
        said = found[task.name]
        value = task.figures(said["replies"], task.evaluation, said["scores"])[self.figure.name]
        if not math.isfinite(value):
            return None
        return round(value if self.figure.higher_is_better else -value, DIGITS)


def mean_scores(tasks: Iterable[Task], found: Found) -> dict[str, float]:
    return {
        task.name: round(statistics.fmean(found[task.name]["scores"]), DIGITS) for task in tasks
    }


def _mean_score(task: Task, found: Found) -> float:
    mean = mean_scores([task], found)[task.name]
    return mean if task.higher_is_better else -mean


def decide_by(metric: str, tasks: Sequence[Task]) -> Decider:
    """What `metric` says to go by, on the evaluation rows of these tasks.

    Raises:
        InputError: it would mix losses with shares, or is a figure that its task does not measure
            or that these rows leave undefined.
    """
    if metric in OVER_ALL:
        _require_one_scale(metric, tasks)
        return Decider(metric, tuple(tasks), None)
    parts = parts_of_metric(metric, [task.name for task in tasks])
    assert parts is not None, "the recipe names a task"
    task = next(task for task in tasks if task.name == parts[0])
    figure = _figure(task, parts[1]) if parts[1] else None
    if figure is None or figure.name == task.metric:  # its score
        return Decider(task.name, tuple(tasks), None)
    return Decider(figure.metric, tuple(tasks), figure)


def _require_one_scale(metric: str, tasks: Sequence[Task]) -> None:
    if len({task.higher_is_better for task in tasks}) > 1:
        raise InputError(
            f"'{metric}' would mix losses with shares of right answers",
            where="metric_for_best_model",
            way_out=f"name one task: {', '.join(task.name for task in tasks)}",
        )


def _figure(task: Task, asked: str) -> Figure:
    """The figure of the task that is asked for; tried on replies that are all right."""
    rows = task.evaluation
    figures = task.figures([row.reply for row in rows], rows, [1.0] * len(rows))
    name = find_figure(asked, figures)
    if name is None:
        raise InputError(
            f"task {task.name!r} does not measure {asked!r}",
            where="metric_for_best_model",
            way_out=did_you_mean(written(asked), map(written, figures)),
        )
    if math.isnan(figures[name]):
        raise InputError(
            f"{name} of task {task.name!r} is not defined on its first {len(rows)} evaluation rows",
            where="metric_for_best_model",
            way_out="raise stage_rows, or go by another measure",
        )
    return Figure(task.name, name, name not in task.lower_is_better)
