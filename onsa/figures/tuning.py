"""The figures of a run as one JSON value, `report.json`: every view is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onsa.figures.costs import spent, stored_bytes
from onsa.figures.flipping import flip
from onsa.figures.provenance import origin, task_facts
from onsa.figures.results import average, normalised, scores_of
from onsa.figures.stages import Scores, end_of, ends, paths, retention, ways
from onsa.figures.trainings import best_states, curves, held, steps, training_notes
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Run


def collect(
    run: Run, scores: Scores, untrained: Mapping[str, Mapping[str, Any]], command: str
) -> dict[str, Any]:
    """All sections of the report for a finished run.

    `untrained` are scores by label and task of what was not trained.
    """
    title = f"{run.recipe.method} on {', '.join(task.name for task in run.tasks)}"
    return {
        **origin(run, title, command),
        "method": run.about_method,
        "adapter": adapter(run),
        "tasks": [task_facts(task, run.folder) for task in run.tasks],
        "results": results(run, scores),
        "normalised": normalised(run.tasks, ends(run, scores)),
        "flips": flips(run, scores),
        "paths": paths(run, scores),
        "retention": retention(run, scores),
        "untrained": on_untrained(run, untrained),
        **run.findings,
        "curves": curves(run),
        "best_states": best_states(run),
        "held": held(run),
        "notes": run.notes + training_notes(run),
        "steps": steps(run),
    }


def adapter(run: Run) -> dict[str, Any] | None:
    """What of the result only works over its base; None for a whole model."""
    tuned = [stage.weights for stage in run.stages if stage.path == run.recipe.method][-1]
    if isinstance(tuned, Weights):
        return None
    return {"stored_bytes": tuned.stored_bytes, "quantization": tuned.quantization}


def results(run: Run, scores: Scores) -> list[dict[str, Any]]:
    """The ends of all ways: the base, the baselines, the result."""
    roles = {"base": "base", run.recipe.method: "result"}
    return [
        result_of(run, label, roles.get(label, "baseline"), found)
        for label, found in ends(run, scores).items()
    ]


def on_untrained(run: Run, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What each way's model can do, better or worse than the base, that it was not trained on."""
    labels = [label for label in ("base", *ways(run)) if label in scores]
    end = run.recipe.method
    return {
        "tasks": [task_facts(task) for task in run.untrained_tasks],
        "results": [
            {
                "label": label,
                "role": "base" if label == "base" else "result" if label == end else "baseline",
                **scores_of(run.untrained_tasks, scores[label]),
            }
            for label in labels
        ],
        "flips": [
            flip(task, label, end, scores[label][task.name], scores[end][task.name])
            for label in labels
            if label != end and end in scores
            for task in run.untrained_tasks
        ],
    }


def result_of(run: Run, label: str, role: str, found: Mapping[str, Any]) -> dict[str, Any]:
    own = [record for record in run.history if record.path == label]
    return {
        "label": label,
        "role": role,
        **scores_of(run.tasks, found),
        "average": average(run.tasks, found),
        **spent(own),
        "stored_bytes": stored_bytes(run, label),
    }


def flips(run: Run, scores: Scores) -> list[dict[str, Any]]:
    """Base against result, and each baseline against result, on the same examples."""
    after = end_of(run, scores, run.recipe.method)
    pairs = [("base", scores["base", "base"])]
    pairs += [(p, end_of(run, scores, p)) for p in ways(run) if p != run.recipe.method]
    return [
        flip(task, label, run.recipe.method, before[task.name], after[task.name])
        for label, before in pairs
        for task in run.tasks
    ]
