"""Whose head a parameter belongs to, which its name tells."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from onsa.masks import ParameterMask
from onsa.tensor_file import Shape
from onsa.weight_ops import Shapes

PREFIX = "heads."


def parameter_prefix(task: str) -> str:
    """What the names of the parameters of a task's head begin with."""
    return f"{PREFIX}{module_key(task)}."


def module_key(task: str) -> str:
    return task.replace(".", ":")  # a module's name has no dot, a task's no colon


def owner_of(name: str) -> str | None:
    """The task whose head the parameter `name` is part of; None for all that tasks share."""
    if not name.startswith(PREFIX):
        return None
    return name.removeprefix(PREFIX).partition(".")[0].replace(":", ".")


def shared(shapes: Shapes) -> dict[str, Shape]:
    """The shapes of what all tasks share."""
    return {name: shape for name, shape in shapes.items() if owner_of(name) is None}


def without_heads(mask: ParameterMask) -> ParameterMask:
    """The mask without what belongs to one task alone."""
    own = [name for name in mask.shapes if owner_of(name) is not None]
    return mask & ~ParameterMask.of_names(mask.shapes, own) if own else mask


def only_heads(shapes: Shapes, tasks: Collection[str]) -> ParameterMask:
    """All entries of the heads of these tasks."""
    return ParameterMask.of_names(shapes, [name for name in shapes if owner_of(name) in tasks])


def is_new(name: str) -> bool:
    """Whether a parameter that a checkpoint lacks belongs to what a head adds or reads."""
    return owner_of(name) is not None or name.startswith("pooler.")


def own_modules(modules: Iterable[str], task: str | None) -> list[str] | None:
    """Of the modules that an adapter trains whole those for one task, as its plain class names
    them; None where there are none."""
    own = None if task is None else parameter_prefix(task)
    kept = [name.removeprefix(own or "") for name in modules if own and name.startswith(own)]
    return kept + [name for name in modules if owner_of(name) is None] or None
