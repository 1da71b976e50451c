"""The figures of `onsa eval`: models as they are, on the same rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onsa.figures.flipping import flip
from onsa.figures.provenance import task_facts
from onsa.figures.results import average, normalised, scores_of

if TYPE_CHECKING:
    from onsa.tasks import Task

Found = Mapping[str, Mapping[str, Any]]  # by task: scores and replies


def evaluated(
    tasks: Sequence[Task],
    untrained: Sequence[Task],
    found: Mapping[str, Found],
    incomparable: Collection[str],
) -> dict[str, Any]:
    """The sections of `eval.json` that are about scores; `found` is by label, the last model is
    held against the others. `incomparable` tasks are scored, and not compared."""
    alike = all(task.name in each for task in tasks for each in found.values())
    trained = _compared(tasks, found, incomparable)
    return {
        "tasks": [task_facts(task) for task in tasks],
        **trained,
        "normalised": normalised(tasks, found) if alike and tasks and not incomparable else None,
        "untrained": {
            "tasks": [task_facts(task) for task in untrained],
            **_compared(untrained, found, incomparable),
        },
    }


def _compared(
    tasks: Sequence[Task], found: Mapping[str, Found], incomparable: Collection[str]
) -> dict[str, Any]:
    alike = all(task.name in each for task in tasks for each in found.values())
    *others, last = found
    entries = []
    for label, each in found.items():
        own = [task for task in tasks if task.name in each]
        mean = average(own, each) if alike and own else None
        entry = {"label": label, "role": _role(label, list(found)), **scores_of(own, each)}
        entries.append({**entry, "average": mean})
    return {
        "results": [entry for entry in entries if entry["scores"]],
        "flips": [
            flip(task, label, last, found[label][task.name], found[last][task.name])
            for label in others
            for task in tasks
            if task.name in found[label] and task.name in found[last]
            and task.name not in incomparable
        ],
    }  # fmt: skip


def _role(label: str, labels: Sequence[str]) -> str:
    if label == labels[-1]:
        return "result"
    return "base" if label == labels[0] else "baseline"
