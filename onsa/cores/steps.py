"""The arithmetic of cores as steps of a run, and its results in the form of the report."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from onsa.cores.fusion import fuse
from onsa.cores.grouping import overlap_matrix
from onsa.cores.saliency import core_region
from onsa.masks import ParameterMask
from onsa.models.places import place_of
from onsa.models.saving import copy_companions
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
    copy_companions(base.folder, folder)  # whose config tells of heads
    return {"weights": step.complete(fused.weights), "record": fused.record}


def where_it_lies(core: ParameterMask) -> dict[str, Any]:
    """Entries of a core by block and role, beside how many there are."""
    inside, there = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for name, count in core.count_by_name().items():
        place = dataclasses.astuple(place_of(name))
        inside[place] += count
        there[place] += math.prod(core.shapes[name])
    cells = [
        {"block": block, "role": role, "entries": inside[block, role], "of": there[block, role]}
        for block, role in there
    ]
    return {"entries": core.count, "share": core.share, "cells": cells}


def fusion_facts(record: dict[str, Any]) -> dict[str, Any]:
    """The record of a fusion in the form of the report."""
    tensors = [
        {"name": name, "angle": max(entry.pop("angles_rad", None) or [0.0]), **entry}
        for name, entry in record.pop("tensors").items()
    ]
    angles = [each["angle"] for each in tensors if each["branch"] not in ("copied", "own")]
    return {
        **record,
        "angles": {"max": max(angles), "median": statistics.median(angles)},
        "tensors": tensors,
    }
