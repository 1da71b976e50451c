"""In which order the groups are trained: rules chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from onsa.cores.grouping import Groups, Matrix, require_each_once
from onsa.cores.rules import Rules


@dataclass(frozen=True)
class Evidence:
    """What is known of the tasks when their groups are ordered; each rule says what it needs."""

    tasks: Sequence[str]
    seed: int = 0
    losses: Mapping[str, float] | None = None  # of each task, at the end of its probe
    overlap: Matrix | None = None
    transfer: Matrix | None = None
    given: Sequence[str] | None = None


order: Rules[Callable[[Groups, Evidence], Groups]] = Rules("order rule")


def order_groups(groups: Groups, evidence: Evidence, rule: str = "random") -> Groups:
    """The groups in the order in which they are trained; equals keep the order they had."""
    return order[rule](groups, evidence)


@order
def random(groups: Groups, evidence: Evidence) -> Groups:
    """Shuffled by the seed (the default of arXiv:2508.21741)."""
    return Random(evidence.seed).sample(groups, len(groups))


@order
def difficulty(groups: Groups, evidence: Evidence) -> Groups:
    """Easy to hard: the lowest mean loss at the end of the probes first."""
    losses = evidence.losses
    assert losses is not None, "difficulty needs the probes' losses"
    return sorted(groups, key=lambda group: float(np.mean([losses[task] for task in group])))


@order
def dependency(groups: Groups, evidence: Evidence) -> Groups:
    """A group that helps the others more than they help it first, by the transfer matrix."""
    assert evidence.transfer is not None, "dependency needs the transfer matrix"
    transfer = np.asarray(evidence.transfer)
    net_help = transfer - transfer.T
    return sorted(groups, key=lambda group: -_mean_to_others(net_help, group, evidence.tasks))


@order
def overlap(groups: Groups, evidence: Evidence) -> Groups:
    """The group whose cores overlap least with the other groups' first."""
    assert evidence.overlap is not None, "overlap needs the overlap matrix"
    matrix = np.asarray(evidence.overlap)
    return sorted(groups, key=lambda group: _mean_to_others(matrix, group, evidence.tasks))


@order
def given(groups: Groups, evidence: Evidence) -> Groups:
    """As the recipe lists the tasks; a group comes where its first task stands."""
    listed = list(evidence.given or ())
    require_each_once(evidence.tasks, listed, "order")
    return sorted(groups, key=lambda group: min(map(listed.index, group)))


def _mean_to_others(matrix: np.ndarray, group: Sequence[str], tasks: Sequence[str]) -> float:
    """The mean value from the group's tasks to the tasks outside it; 0 if there are none."""
    inside = np.array([task in group for task in tasks])
    values = matrix[inside][:, ~inside]
    return float(values.mean()) if values.size else 0.0
