"""What the functions of a task of lm-evaluation-harness make of a model's answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onsa.data.example import Example
from onsa.data.requests import requests_of
from onsa.errors import InputError, did_you_mean, shortened
from onsa.metrics.intervals import Measures
from onsa.progress import Advance
from onsa.tasks._harness import library, quiet
from onsa.tasks._harness_settings import (
    OF_ONE_ROW,
    LmEval,
    filters_of,
    is_mean,
    label,
    opened,
    split_metric,
)

# Aggregations that are quick enough for a thousand resamples.
QUICK = {"mean", "nanmean", "median", "perplexity", "weighted_perplexity", "bits_per_byte", "f1",
         "matthews_corrcoef", "brier_score"}  # fmt: skip

Figures = Mapping[str, Mapping[str, Any]]  # of one row: by filter, by metric


def chosen_metric(task: Any, wanted: str | None) -> str:
    """The metric of a row, with its filter: the one asked for, or the first that is a mean, or the
    first that is a figure of one row as well."""
    metrics, filters = task.aggregation(), filters_of(task)
    fit = [metric for metric, aggregate in metrics.items() if is_mean(aggregate)]
    fit += [metric for metric in metrics if metric in OF_ONE_ROW and metric not in fit]
    if not fit:
        raise InputError(
            f"none of its metrics ({', '.join(metrics)}) is a figure of one row, which intervals "
            "and comparisons are made of",
            where=f"lm_eval:{task.config.task}",
            way_out="choose another task",
        )
    if wanted is None:
        return f"{fit[0]},{filters[0]}"
    known = [f"{metric},{each}" for metric in fit for each in filters]
    found = [each for each in known if wanted in (each, split_metric(each)[0])]
    if not found:
        raise InputError(
            f"no row has a metric {wanted!r}", where="metric", way_out=did_you_mean(wanted, known)
        )
    return found[0]


def score_all(
    replies: Sequence[str],
    examples: Sequence[Example],
    settings: LmEval,
    folder: Path | None,
    advance: Advance,
) -> list[float]:
    """The chosen metric of each row."""
    metric, filtered = split_metric(settings.metric or "")
    aggregate = opened(settings).aggregation()[metric]
    values = []
    for figures, example in zip(_figures(replies, examples, settings), examples, strict=True):
        value = figures[filtered].get(metric)
        if not is_mean(aggregate) and value is not None:
            value = _together(aggregate, [value])
        if not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
            raise InputError(
                f"the task gives no {metric} for this row",
                where=example.source,
                way_out="choose another metric",
            )
        values.append(float(value))
    return values


def measures(replies: Sequence[str], examples: Sequence[Example], settings: LmEval) -> Measures:
    """All metrics of the task, put together by its own functions."""
    task = opened(settings)
    found = _figures(replies, examples, settings)
    columns: dict[str, tuple[Callable[[list[Any]], Any], list[Any], bool]] = {}
    filters = filters_of(task)
    mean = library("api.metrics").mean
    for filtered in filters:
        for metric in dict.fromkeys(name for row in found for name in row[filtered]):
            column = [row[filtered].get(metric) for row in found]
            aggregate = task.aggregation().get(metric, mean)
            columns[label(metric, filtered, filters)] = aggregate, column, _is_quick(aggregate)

    def measure(rows: Any) -> dict[str, float]:
        everything = len(rows) == len(found) and bool((rows == np.arange(len(rows))).all())
        return {
            name: _together(aggregate, [column[row] for row in rows])
            if everything or is_quick
            else math.nan
            for name, (aggregate, column, is_quick) in columns.items()
        }

    return Measures(measure)


def _figures(
    replies: Sequence[str], examples: Sequence[Example], settings: LmEval
) -> list[Figures]:
    """What the task's own functions make of the answers, row by row."""
    task = opened(settings)
    instances = [
        _answered(reply, example, settings.task)
        for reply, example in zip(replies, examples, strict=True)
    ]
    found: list[Figures] = []
    with quiet():
        task._instances = [each for row in instances for each in row]
        task.apply_filters()
        for row, example in zip(instances, examples, strict=True):
            try:
                found.append(
                    {
                        name: task.process_results(
                            example.extra["doc"], [each.filtered_resps[name] for each in row]
                        )
                        for name in filters_of(task)
                    }
                )
            except Exception as fault:  # the task's own code
                raise InputError(
                    f"the task cannot score the reply ({shortened(fault)})",
                    where=example.source,
                    way_out="choose another task",
                ) from None
    return found


def _answered(reply: str, example: Example, name: str) -> list[Any]:
    """The library's own requests of a row, with their answers."""
    instance = library("api.instance").Instance
    return [
        instance(
            request_type=request["kind"],
            doc=example.extra["doc"],
            arguments=("", request["continuation"]),
            idx=number,
            metadata=(name, example.extra["number"], request["times"]),
            resps=[tuple(each) if isinstance(each, list) else each for each in answers],
        )
        for number, (request, answers) in enumerate(
            zip(requests_of(example), json.loads(reply), strict=True)
        )
    ]


def _together(aggregate: Callable[[list[Any]], Any], values: list[Any]) -> float:
    there = [value for value in values if value is not None]
    try:
        with quiet():
            return float(aggregate(there))
    except Exception:  # no figure on these rows, or one that is no number
        return math.nan


def _is_quick(aggregate: Any) -> bool:
    known = library("api.registry").AGGREGATION_REGISTRY
    return any(known.get(name) is aggregate for name in QUICK) or is_mean(aggregate)
