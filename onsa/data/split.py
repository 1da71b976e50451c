"""Parts of a task's training rows, drawn by a seed."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onsa.tasks import Task

LARGEST_KEPT_OUT = 0.1  # share of the training rows that may be kept out to measure on


def sample_rows(task: Task, share: float, seed: int) -> Task:
    """The task with a random `share` of its training rows, at least one, in their old order."""
    count = min(len(task.train), max(1, round(share * len(task.train))))
    if count == len(task.train):
        return task
    rows = _draw(task, count, seed)
    return dataclasses.replace(task, train=tuple(task.train[row] for row in rows))


def split_rows(task: Task, kept_out: int, seed: int) -> tuple[Task, Task | None]:
    """The task without `kept_out` rows (at most a tenth), and a task to measure on them."""
    count = min(kept_out, int(LARGEST_KEPT_OUT * len(task.train)))
    if count == 0:
        return task, None
    out = set(_draw(task, count, seed))
    rest = tuple(row for number, row in enumerate(task.train) if number not in out)
    kept = tuple(task.train[number] for number in sorted(out))
    return (
        dataclasses.replace(task, train=rest),
        dataclasses.replace(task, train=(), evaluation=kept),
    )


def _draw(task: Task, count: int, seed: int) -> list[int]:
    order = random.Random(f"{seed}/{task.name}")  # a string seed is hashed the same everywhere
    return sorted(order.sample(range(len(task.train)), count))
