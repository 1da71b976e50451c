"""Which tasks are trained together: groups of tasks, by rules chosen by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onsa.cores.rules import Rules
from onsa.errors import InputError
from onsa.masks import ParameterMask, count_bits

Matrix = Sequence[Sequence[float]]
"""A value for each pair of tasks, rows and columns in the order of the tasks."""

Groups = list[list[str]]


@dataclass(frozen=True)
class Evidence:
    """What is known of the tasks when they are grouped; each rule says what it needs."""

    tasks: Sequence[str]
    threshold: float = 0.1
    overlap: Matrix | None = None
    transfer: Matrix | None = None
    given: Sequence[Sequence[str]] | None = None


grouping: Rules[Callable[[Evidence], Groups]] = Rules("grouping rule")


def group_tasks(evidence: Evidence, rule: str = "jaccard") -> Groups:
    """The groups, tasks and groups in the order in which the tasks were given."""
    return grouping[rule](evidence)


@grouping
def jaccard(evidence: Evidence) -> Groups:
    """Tasks linked by cores that overlap by the threshold or more (arXiv:2508.21741)."""
    assert evidence.overlap is not None, "jaccard needs the overlap matrix"
    return _connected(evidence.tasks, np.asarray(evidence.overlap) >= evidence.threshold)


@grouping
def loss_transfer(evidence: Evidence) -> Groups:
    """Tasks linked by probes that each lower the other's loss by the threshold or more."""
    assert evidence.transfer is not None, "loss_transfer needs the transfer matrix"
    transfer = np.asarray(evidence.transfer)
    return _connected(evidence.tasks, np.minimum(transfer, transfer.T) >= evidence.threshold)


@grouping
def given(evidence: Evidence) -> Groups:
    """The groups named in the recipe."""
    groups = [list(group) for group in evidence.given or ()]
    require_each_once(evidence.tasks, [task for group in groups for task in group], "groups")
    return groups


def chance_level(share: float) -> float:
    """The Jaccard overlap expected of two cores of this share drawn at random: p / (2 - p)."""
    return share / (2 - share)


def threshold_value(threshold: float | str, share: float) -> float:
    """A threshold given as a number, or as a multiple of chance: `3x chance`."""
    if isinstance(threshold, str):
        multiple = re.fullmatch(r"\s*(\d+\.?\d*)\s*[x×]\s*chance\s*", threshold)
        value = float(multiple[1]) * chance_level(share) if multiple else float("nan")
    else:
        value = float(threshold)
    if not 0 <= value <= 1:
        raise InputError(
            f"the overlap threshold is {threshold!r}",
            way_out="give a number from 0 to 1, or a multiple of chance such as '3x chance'",
        )
    return value


def overlap_matrix(cores: Mapping[str, ParameterMask]) -> list[list[float]]:
    """Jaccard overlap of every pair of cores; each core is read once, tensor by tensor."""
    masks = list(cores.values())
    common = np.zeros((len(masks), len(masks)), dtype=np.int64)
    for name in masks[0].shapes:
        bits = [mask.bits(name) for mask in masks]
        for row, ours in enumerate(bits):
            for column, theirs in enumerate(bits[: row + 1]):
                common[row, column] += count_bits(ours & theirs)
    common = np.maximum(common, common.T)
    sizes = np.diagonal(common)
    either = sizes[:, None] + sizes[None, :] - common
    return (common / np.maximum(either, 1)).tolist()


def transfer_matrix(base_losses: Sequence[float], probe_losses: Matrix) -> list[list[float]]:
    """A(i→j): what probe i gains on task j, as a share of what task j's own probe gains.

    `probe_losses[i][j]` is the held-out loss of task j after probe i. A task whose own probe
    gained nothing has nothing to be measured by: 0.
    """
    gains = np.asarray(base_losses) - np.asarray(probe_losses)
    own = np.diagonal(gains)
    return np.where(own > 0, gains / np.where(own > 0, own, 1), 0.0).tolist()


def require_each_once(tasks: Sequence[str], named: Sequence[str], where: str) -> None:
    if sorted(named) != sorted(tasks):
        raise InputError(
            f"names {', '.join(named) or 'no task'}; the tasks are {', '.join(tasks)}",
            where=where,
            way_out="name every task exactly once",
        )


def _connected(tasks: Sequence[str], linked: np.ndarray) -> Groups:
    """The connected components of the graph with an edge where `linked`."""
    group_of = list(range(len(tasks)))
    for i, j in np.argwhere(linked):
        joined, other = sorted((group_of[i], group_of[j]))
        group_of = [joined if group == other else group for group in group_of]
    return [
        [task for task, group in zip(tasks, group_of, strict=True) if group == number]
        for number in sorted(set(group_of))
    ]
