"""The arithmetic of cores as steps of a run, whose results are kept."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from onsa.cores.fusion import fuse
from onsa.cores.grouping import overlap_matrix
from onsa.cores.saliency import core_region
from onsa.masks import ParameterMask
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Step


def find_core(
    step: Step,
    *,
    base: Weights,
    tuned: Weights,
    share: float,
    rule: str,
    seed: int | str,
    second_moment: Weights | None = None,
) -> ParameterMask:
    """The core of a task: see `core_region`."""
    # A string is hashed the same everywhere; the rules want a number.
    number = Random(f"core/{seed}").getrandbits(32)
    return core_region(base, tuned, share, rule, seed=number, second_moment=second_moment)


def find_overlap(step: Step, *, cores: Mapping[str, ParameterMask]) -> list[list[float]]:
    """Jaccard overlap of every pair of cores."""
    return overlap_matrix(cores)


def fuse_models(
    step: Step,
    *,
    base: Weights,
    tuned: Mapping[str, Weights],
    cores: Mapping[str, ParameterMask],
    blend: str,
    conflict: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """One model of several, and the record of how each tensor came about: see `fuse`."""
    folder = step.folder / "weights"
    fused = fuse(folder, base, tuned, cores, blend=blend, conflict=conflict, **settings)
    return {"weights": step.complete(fused.weights), "record": fused.record}
