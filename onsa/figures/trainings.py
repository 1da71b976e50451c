"""What the trainings of a run tell: curves, best states, what was held, steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onsa.run import Run, StepRecord


def curves(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "label": _told(r),
            "points": r.facts["curve"],
            "rows": r.facts.get("rows_by_task", {}),
        }
        for r in run.history
        if "curve" in r.facts
    ]


def _told(record: StepRecord) -> str:
    """A training by its way and its step, which of ways with one step are the same."""
    return record.name if record.name == record.path else f"{record.path}: {record.name}"


def best_states(run: Run) -> list[dict[str, Any]]:
    """Scores on the way of trainings that ended in their best state."""
    return [
        {"label": _told(r), **r.facts["best_state"]} for r in run.history if "best_state" in r.facts
    ]


def held(run: Run) -> list[dict[str, Any]]:
    """What was held in each training, and the proof: cores, then heads of finished tasks."""
    found = []
    for r in run.history:
        if "held" in r.facts:
            rule = r.facts.get("hold_rule", "earlier cores")
            found.append({"stage": r.name, "rule": rule, **r.facts["held"]})
        if "held_heads" in r.facts:
            found.append(
                {"stage": r.name, "rule": "heads of earlier tasks", **r.facts["held_heads"]}
            )
    return found


def training_notes(run: Run) -> list[str]:
    """Where trainings stopped that looked for their best state, and which state they kept."""
    found = {r.name: r.facts["best_state"] for r in run.history if "best_state" in r.facts}
    return [
        _best_note(name, best) if _is_decided(best) else _undecided_note(name, best)
        for name, best in found.items()
    ]


def _is_decided(best: Mapping[str, Any]) -> bool:
    """Whether what was to decide was defined in any of the scorings."""
    return not best.get("figure") or any(point["figures"] for point in best["points"])


def _undecided_note(name: str, best: Mapping[str, Any]) -> str:
    return (
        f"{name}: {best['metric']} was not defined in any of {len(best['points'])} scorings; the "
        f"state of step {best['best_step']}, the last one, was kept"
    )


def _best_note(name: str, best: Mapping[str, Any]) -> str:
    rows = ", ".join(f"{task} {count}" for task, count in best["rows"].items())
    last, planned = best["last_step"], best["planned_steps"]
    stopped = f"stopped after step {last} of {planned}; " if last < planned else ""
    kept = next(point for point in best["points"] if point["step"] == best["best_step"])
    by = best["metric"] + "".join(f" ({each:.4g})" for each in kept.get("figures", {}).values())
    return (
        f"{name}: {stopped}step {best['best_step']} was kept, the best by {by} of "
        f"{len(best['points'])} scorings on the first evaluation rows ({rows}): on these rows the "
        "scores at the end are a little too good"
    )


def steps(run: Run) -> list[dict[str, Any]]:
    return [
        {"name": r.name, "digest": r.digest, "seconds": r.seconds, "reused": r.reused}
        for r in run.history
    ]
