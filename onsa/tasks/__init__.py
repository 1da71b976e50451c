"""Kinds of task: each is one file in this folder, found by looking; there is no list to edit.

A file `number.py` holds `KIND = Kind(...)`: its settings, how its examples are loaded, and how a
reply is scored. A `Task` is one task of a run: examples of a kind, ready to train and to score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onsa.errors import InputError
from onsa.settings import validated
from onsa.tasks._finding import all_kinds, find_kind
from onsa.tasks._kind import Examples, Kind, Mode, Replies, Rows
from onsa.tasks._task import Task

__all__ = [
    "VERDICTS",
    "Examples",
    "Kind",
    "Mode",
    "Replies",
    "Rows",
    "Task",
    "all_kinds",
    "find_kind",
    "load_task",
]

VERDICTS = "verdicts"  # in a run's folder: what judges said, kept across steps


def load_task(
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    base_folder: Path,
    seed: int,
    weight: float = 1.0,
) -> Task:
    """The task `name` of a kind, its rows loaded and its references scored.

    Raises:
        InputError: an unknown kind or setting, faulty data, fewer than two rows, or a reference
            reply that its own scoring does not find right.
    """
    place = f"task {name}"
    try:
        found = find_kind(kind)
        values = validated(found.settings, _with_name(found, kind, settings), "settings")
        rows = found.load(values, base_folder, seed)
        task = Task(
            name,
            kind,
            rows.settings or values,
            tuple(rows.train),
            tuple(rows.evaluation),
            weight,
            rows.notes,
            rows.head,
            rows.split,
        )
        _check_references(task)
    except InputError as fault:
        where = f"{place}, {fault.where}" if fault.where else place
        raise InputError(fault.what, where=where, way_out=fault.way_out) from None
    return task


def _with_name(kind: Kind, text: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with what stands after the colon of `kind: lm_eval:arc_easy` among them."""
    name = text.partition(":")[2]
    if name and kind.named in settings:
        raise InputError(
            f"{kind.named} is said twice",
            where="kind",
            way_out=f"write 'kind: {kind.name}', or take '{kind.named}' out",
        )
    return {**settings, kind.named: name} if name else dict(settings)


def _check_references(task: Task) -> None:
    kind = find_kind(task.kind)
    is_asked_only = not any(row.reply for row in task.evaluation)
    assert task.train or not kind.trains or is_asked_only, "loaders give rows to train on"
    assert task.evaluation, "loaders give at least a row to score on"
    if kind.score is None:
        return
    scores = task.scores([example.reply for example in task.evaluation], task.evaluation)
    for example, score in zip(task.evaluation, scores, strict=True):
        if score != 1:
            raise InputError(
                f"the reference reply itself scores {score:.2g} as kind {task.kind!r}",
                where=example.source,
                way_out="mend the row, or choose another kind ('onsa tasks' lists them)",
            )
