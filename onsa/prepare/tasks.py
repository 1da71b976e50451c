"""The tasks of a recipe, loaded, weighted, and with the heads they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onsa.data.balance import task_weights
from onsa.data.example import Example
from onsa.data.overlap import without_overlap
from onsa.data.requests import asks_by_template
from onsa.errors import InputError
from onsa.models.head import Head
from onsa.recipe.schema import TaskBalance, TaskRecipe
from onsa.tasks import Task, find_kind, load_task

ASKED = ("generate", "choose")  # modes in which another prompt gives other replies
PROBE_FOLDER = Path(__file__).parent.parent / "data" / "probe"


def _probe(name: str, kind: str, **options: Any) -> TaskRecipe:
    rows = f"{name}.jsonl"
    return TaskRecipe(
        name=f"probe.{name}", kind=kind, options={"train": rows, "eval": rows, **options}
    )


PROBE = (
    _probe("knowledge", "choose"),
    _probe("knowledge_ja", "choose"),
    _probe("sums", "number", max_new_tokens=16),
    _probe("text", "loss"),
    _probe("text_ja", "loss"),
)


def require_trainable(tasks: Sequence[TaskRecipe]) -> None:
    """Refuse to train on a task of a kind that is only scored.

    Raises:
        InputError: one of the tasks is of such a kind.
    """
    for task in tasks:
        if not find_kind(task.kind).trains:
            kind = task.kind.partition(":")[0]
            raise _only_scored(f"tasks of kind {kind!r} are scored, never trained on", task.name)


def require_rows(tasks: Sequence[Task]) -> None:
    """Refuse to train on questions without replies.

    Raises:
        InputError: one of the tasks has nothing else.
    """
    for task in tasks:
        if not task.train:
            raise _only_scored("its questions have no replies to train on", task.name)


def _only_scored(what: str, task: str) -> InputError:
    return InputError(
        what,
        where=f"task {task}",
        way_out="put it under 'untrained_tasks:'; 'onsa eval' takes it under 'tasks:' too",
    )


def load_tasks(tasks: Sequence[TaskRecipe], base_folder: Path, seed: int) -> list[Task]:
    loaded = [
        load_task(task.name, task.kind, task.options, base_folder, seed, task.weight)
        for task in tasks
    ]
    return [
        _only_last(task) if asked.train_on == "last_reply" else task
        for task, asked in zip(loaded, tasks, strict=True)
    ]


def kept_apart(
    tasks: Sequence[Task], asked: Sequence[TaskRecipe], scored: Sequence[Task]
) -> list[Task]:
    """The tasks without the training rows that `scored` ones are evaluated on, where
    `drop_overlap` asks for it. (Those of its own evaluation a task leaves out as it is loaded.)"""
    evaluation = [row for task in scored for row in task.evaluation]
    wanted = {task.name for task in asked if task.options.get("drop_overlap")}
    return [_without(task, evaluation) if task.name in wanted else task for task in tasks]


def _without(task: Task, evaluation: Sequence[Example]) -> Task:
    kept = tuple(without_overlap(task.train, evaluation))
    left_out = len(task.train) - len(kept)
    if not kept:
        raise InputError(
            "no training row is left: all are evaluation rows of the tasks",
            where=f"task {task.name}",
            way_out="give other files",
        )
    note = f"{left_out} training rows left out: evaluation rows of other tasks"
    notes = (*task.notes, note) if left_out else task.notes
    return dataclasses.replace(task, train=kept, notes=notes)


def _only_last(task: Task) -> Task:
    """The task with nothing trained but the last reply of each row."""
    train, evaluation = (
        tuple(dataclasses.replace(row, only_last=True) for row in rows)
        for rows in (task.train, task.evaluation)
    )
    return dataclasses.replace(task, train=train, evaluation=evaluation)


def mixed(tasks: list[Task], how: TaskBalance) -> list[Task]:
    """The tasks with the weights that `how` to balance them gives."""
    weights = task_weights(
        {task.name: len(task.train) for task in tasks},
        {task.name: task.weight for task in tasks},
        how,
    )
    return [dataclasses.replace(task, weight=weights[task.name]) for task in tasks]


def probe_tasks(others: Sequence[Task]) -> list[Task]:
    """What a language model can do in general: general knowledge, sums, and plain text.

    Raises:
        InputError: no language model is trained, or a task has the name of one of these.
    """
    if all(task.head is not None for task in others):
        raise InputError(
            "probe asks a language model, and all tasks have heads of their own",
            where="probe",
            way_out="take it out, or write 'by: likelihood' in the tasks",
        )
    names = {task.name.casefold() for task in others}
    if taken := next((each.name for each in PROBE if each.name in names), None):
        raise InputError("is a name of the probe's", where=f"task {taken}", way_out="rename it")
    return [dataclasses.replace(task, train=()) for task in load_tasks(PROBE, PROBE_FOLDER, seed=0)]


def heads_for(tasks: Sequence[Task], untrained: Sequence[Task]) -> tuple[dict[str, Head], bool]:
    """The heads that the tasks need, and whether there are replies to say as well.

    Raises:
        InputError: a task that is not trained needs a head.
    """
    for task in untrained:
        if task.head is not None:
            raise InputError(
                "its head would stay untrained",
                where=f"task {task.name}",
                way_out="move it to 'tasks', or write 'by: likelihood'",
            )
    heads = {task.name: task.head for task in tasks if task.head is not None}
    return heads, len(heads) < len(tasks) + len(untrained)


def speaks(tasks: Sequence[Task]) -> bool:
    """Whether rows are conversations: all but texts for heads, and plain ones."""
    return any(
        asks_by_template(task.evaluation)
        if task.mode == "requests"
        else task.head is None or task.head.problem == "ranking"
        for task in tasks
    )
