"""What a way of tuning took: tokens, time, memory, energy, bytes on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from onsa.adapter import Adapter

if TYPE_CHECKING:
    from onsa.run import Run, StepRecord


def stored_bytes(run: Run, label: str) -> int:
    """What the result of a way weighs on disk, written as `output_dtype`; of an adapter, what is
    its own: the base is not in it."""
    ends = [stage.weights for stage in run.stages if stage.path == label] or [run.base]
    kept = ends if label in run.specialists else ends[-1:]
    of_an_entry = torch.finfo(getattr(torch, run.recipe.output_dtype)).bits // 8
    return sum(
        each.stored_bytes if isinstance(each, Adapter) else of_an_entry * each.entry_count
        for each in kept
    )


def spent(steps: Sequence[StepRecord]) -> dict[str, Any]:
    """What steps took, without their scoring: work adds up, of memory the most counts."""
    facts = [record.facts for record in steps if "trained_tokens" in record.facts]
    energies = [fact["energy_kwh"] for fact in facts]
    seconds = sum(record.seconds for record in steps if not record.name.startswith("score/"))
    return {
        "trained_tokens": sum(fact["trained_tokens"] for fact in facts),
        "processed_tokens": sum(fact["processed_tokens"] for fact in facts),
        "seconds": round(seconds, 1),
        "trained_entries": max((fact["trained_entries"] for fact in facts), default=0),
        "training_seconds": round(sum(fact["training_seconds"] for fact in facts), 1),
        "training_flops": sum(fact["training_flops"] for fact in facts),
        "energy_kwh": None if None in energies else sum(energies),
        "peak_memory_bytes": max((fact["peak_memory_bytes"] for fact in facts), default=0),
        "optimizer_bytes": max((fact["optimizer_bytes"] for fact in facts), default=0),
    }
