"""The figures of tasks that were added to a run, among those that it had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onsa.figures.flipping import flip
from onsa.figures.provenance import task_facts
from onsa.figures.trainings import curves, held, steps, training_notes
from onsa.figures.tuning import result_of

if TYPE_CHECKING:
    from onsa.masks import ParameterMask
    from onsa.run import Run
    from onsa.tasks import Task

GROWING = ("tasks", "curves", "held", "notes", "steps")  # sections that an addition appends to


def without_unfinished(facts: dict[str, Any], finished: int) -> dict[str, Any]:
    """The figures without an addition that was cut off before the run's state knew of it."""
    additions = facts.get("additions", [])
    if len(additions) <= finished:
        return facts
    before = additions[finished].get("before", {})
    earlier = {key: facts.get(key, [])[:count] for key, count in before.items()}
    return {**facts, **earlier, "additions": additions[:finished]}


def with_addition(
    facts: dict[str, Any],
    run: Run,
    new: Sequence[Task],
    scores: Mapping[str, Mapping[str, Any]],
    held_mask: ParameterMask | None,
    replay_share: float,
    command: str,
) -> dict[str, Any]:
    """The figures of a run with those of tasks that were added to it."""
    roles = {"before": "base", "held": "result"}
    entry = {
        "task": [task.name for task in new],
        "command": command,
        "held_entries": held_mask.count if held_mask else 0,
        "held_heads": next(
            (r.facts["held_heads"]["tasks"] for r in run.history if "held_heads" in r.facts), []
        ),
        "replay_share": replay_share,
        "before": {key: len(facts.get(key, [])) for key in GROWING},
        "results": [
            result_of(run, label, roles.get(label, "baseline"), found)
            for label, found in scores.items()
        ],
        "flips": [
            flip(task, label, "held", found[task.name], scores["held"][task.name])
            for label, found in scores.items()
            if label != "held"
            for task in run.tasks
        ],
    }
    more = {
        "tasks": [task_facts(task, run.folder) for task in new],
        "curves": curves(run),
        "held": held(run),
        "notes": run.notes + training_notes(run),
        "steps": steps(run),
    }
    grown = {key: facts.get(key, []) + more[key] for key in GROWING}
    return {**facts, **grown, "additions": [*facts.get("additions", []), entry]}
