"""What a task's head says. Without torch: data and tasks are read before any model is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Problem = Literal[
    "single_label_classification", "multi_label_classification", "regression", "ranking"
]
LIKED, OTHER = "liked", "other"  # what a ranking's head puts first


@dataclass(frozen=True)
class Head:
    """What a task's head says: one of some labels, several of them, a number, or a rank.

    `mean` and `spread` are of the training rows' numbers; a regression's loss is in units of the
    spread, so that tasks with other scales weigh the same.
    """

    problem: Problem
    labels: tuple[str, ...] = ()
    mean: float = 0.0
    spread: float = 1.0

    @property
    def outputs(self) -> int:
        return len(self.labels) or 1


Heads = Mapping[str, Head]


def head_from_json(told: Mapping[str, Any]) -> Head:
    return Head(**{**told, "labels": tuple(told["labels"])})
