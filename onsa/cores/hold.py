"""Which entries are held while a group trains: rules chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onsa.cores.grouping import Groups
from onsa.cores.rules import Rules
from onsa.masks import ParameterMask, union
from onsa.weight_ops import Shapes, random_entries


@dataclass(frozen=True)
class Stage:
    """Group number `stage`, from 0, is about to train."""

    stage: int
    groups: Groups
    cores: Mapping[str, ParameterMask]
    seed: int = 0

    @property
    def shapes(self) -> Shapes:
        return next(iter(self.cores.values())).shapes


hold: Rules[Callable[[Stage], ParameterMask]] = Rules("hold rule")


def held_entries(stage: Stage, rule: str = "earlier") -> ParameterMask:
    """The entries that may not change while the stage's group trains."""
    return hold[rule](stage)


@hold
def earlier(stage: Stage) -> ParameterMask:
    """The cores of all tasks in earlier groups (arXiv:2508.21741)."""
    done = [task for group in stage.groups[: stage.stage] for task in group]
    return union(stage.shapes, (stage.cores[task] for task in done))


@hold
def all(stage: Stage) -> ParameterMask:
    """The cores of all tasks, the training group's own included."""
    return union(stage.shapes, stage.cores.values())


@hold
def none(stage: Stage) -> ParameterMask:
    """Nothing."""
    return ParameterMask.nothing(stage.shapes)


@hold
def random(stage: Stage) -> ParameterMask:
    """Entries drawn at random, as many as `earlier` holds: the control for it."""
    return random_entries(stage.shapes, earlier(stage).count, stage.seed)
