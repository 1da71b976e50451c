"""Heads that a model's folder brings along, and that tasks of the same name go on with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import torch

from onsa.errors import InputError
from onsa.models.head import Head, Heads, head_from_json
from onsa.models.head_names import owner_of
from onsa.models.heads import CONFIG_KEY, SINGLE_KEY, heads_of, plain_names
from onsa.weights import Weights


def named_head(task: str, head: Head) -> dict[str, Any]:
    """What the config of a classifier that is written keeps of whose head it has."""
    return {"task": task, **asdict(head)}


def carried(config: Any) -> dict[str, Head]:
    """The heads in a folder that this is the config of, by task: several, or a classifier's one.

    A classifier that somebody else made does not say whose head it has: nothing for those.
    """
    single: Mapping[str, Any] | None = getattr(config, SINGLE_KEY, None)
    if single is None:
        return heads_of(config)
    said = {key: value for key, value in single.items() if key != "task"}
    return {str(single["task"]): head_from_json(said)}


class Known(NamedTuple):
    """Of the tasks those that a folder brings heads for: to go on with, and with other labels."""

    kept: tuple[str, ...]
    other: dict[str, Head]


def known_heads(config: Any, wanted: Heads, source: Weights) -> Known:
    """Which of the heads `wanted` the folder `source` brings, its config being `config`.

    Raises:
        InputError: it holds several heads, one of them by the name of a wanted one and another.
    """
    found = {task: head for task, head in carried(config).items() if task in wanted}
    kept = tuple(task for task, head in found.items() if _alike(head, wanted[task]))
    other = {task: head for task, head in found.items() if task not in kept}
    if other and getattr(config, CONFIG_KEY, None):
        raise another_head(*next(iter(other.items())))
    return Known(kept, other)


def another_head(task: str, head: Head) -> InputError:
    """A model cannot have two heads by the name of one task."""
    return InputError(
        f"the model has another head by that name ({said_by(head)})",
        where=f"task {task}",
        way_out="rename the task",
    )


def _alike(one: Head, other: Head) -> bool:
    """Whether both say the same; how numbers are scaled is the training rows' affair."""
    return (one.problem, one.labels) == (other.problem, other.labels)


def said_by(head: Head) -> str:
    """What a head says, for a message."""
    shown = ", ".join(head.labels[:6]) + (" …" if len(head.labels) > 6 else "")
    return shown or head.problem


def plain_parameters(config: Any, names: Iterable[str], task: str) -> dict[str, str]:
    """A head's parameters in transformers' own class: their names there -> here."""
    found = plain_names(names, config, task)
    return {plain: own for plain, own in found.items() if owner_of(own) == task}


@torch.no_grad()
def take_over(model: Any, source: Weights, tasks: Iterable[str]) -> None:
    """Give the model's heads of these tasks the values that a classifier's folder has."""
    parameters = dict(model.named_parameters())
    for task in tasks:
        for plain, own in plain_parameters(model.config, parameters, task).items():
            if plain in source.shapes:  # else its own loading has found it
                parameters[own].copy_(source[plain])
