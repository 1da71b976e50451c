"""Examples that one model answers better than the other: counted, tested, some shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onsa.metrics.paired import compare_paired

if TYPE_CHECKING:
    from onsa.tasks import Task

FLIPPED_EXAMPLES = 12  # shown for each task and comparison


def flip(
    task: Task, before_label: str, after_label: str, before: Any, after: Any
) -> dict[str, Any]:
    """The evaluation rows of a task, as two models answer them."""
    rows = [
        {
            "source": row.source,
            "prompt": row.prompt[-1]["content"],
            "reference": row.reply,
            "group": row.group,
        }
        for row in task.evaluation[: len(before["scores"])]
    ]
    told = {"higher_is_better": task.higher_is_better, "mode": task.told_mode}
    ends = {"from": before_label, "to": after_label, "task": task.name}
    before, after = (
        {**found, "replies": task.shown(found["replies"])} for found in (before, after)
    )
    return {**ends, **flip_of(rows, before, after, told)}


def flip_of(
    rows: Sequence[Mapping[str, Any]],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    task: Mapping[str, Any],
) -> dict[str, Any]:
    """What was gained and lost, by chance or not, and examples; all lists go by the same rows."""
    # A loss is better when lower; compared as its negative, "gained" means better everywhere.
    sign = 1.0 if task["higher_is_better"] else -1.0
    old, new = ([sign * value for value in found["scores"]] for found in (before, after))
    paired = compare_paired(old, new, [str(row.get("group") or "") for row in rows])
    changed = [row for row in range(len(old)) if task["mode"] != "loss" and old[row] != new[row]]
    return {
        "gained": paired.gained,
        "lost": paired.lost,
        "both_right": sum(a >= 1 and b >= 1 for a, b in zip(old, new, strict=True)),
        "both_wrong": sum(a < 1 and b < 1 for a, b in zip(old, new, strict=True)),
        "p_value": paired.p_value,
        "examples": [
            {
                **{key: rows[row].get(key) for key in ("source", "prompt", "reference")},
                "before": before["replies"][row],
                "after": after["replies"][row],
                "change": "gained" if new[row] > old[row] else "lost",
            }
            for row in _both_kinds(changed, old, new)
        ],
    }


def _both_kinds(changed: list[int], old: list[float], new: list[float]) -> list[int]:
    """Some of the examples that flipped: losses first, they are what one looks for."""
    lost = [row for row in changed if new[row] < old[row]]
    gained = [row for row in changed if new[row] > old[row]]
    half = FLIPPED_EXAMPLES // 2
    lost = lost[: max(half, FLIPPED_EXAMPLES - len(gained))]
    return lost + gained[: FLIPPED_EXAMPLES - len(lost)]
