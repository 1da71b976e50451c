"""What was scored on the way: the stages of each way of tuning, and their ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onsa.figures.results import score_of

if TYPE_CHECKING:
    from onsa.run import Run
    from onsa.tasks import Task

Scores = dict[tuple[str, str], dict[str, Any]]  # (path, stage) -> task -> scores, replies, loss


def ways(run: Run) -> list[str]:
    """The ways of tuning of this run, baselines first."""
    seen = list(dict.fromkeys(stage.path for stage in run.stages))
    return [path for path in seen if path != run.recipe.method] + [run.recipe.method]


def ends(run: Run, scores: Scores) -> dict[str, dict[str, Any]]:
    """The scores of the base and of the end of each way, by label."""
    return {"base": scores["base", "base"]} | {p: end_of(run, scores, p) for p in ways(run)}


def end_of(run: Run, scores: Scores, path: str) -> dict[str, Any]:
    """The scores at the end of a way; of specialists, each task's own."""
    stages = [stage for stage in run.stages if stage.path == path]
    if path in run.specialists:
        return {
            task.name: scores[path, stage.label][task.name]
            for task, stage in zip(run.tasks, stages, strict=True)
        }
    return scores[path, stages[-1].label]


def paths(run: Run, scores: Scores) -> list[dict[str, Any]]:
    """The task x stage matrix of each way, every stage on the same rows."""
    rows = run.recipe.stage_rows
    base: dict[str, Any] = {"label": "base", "found": scores["base", "base"]}
    matrix = []
    for path in ways(run):
        stages: list[dict[str, Any]] = [base] + [
            {"label": stage.label, "found": scores[path, stage.label]}
            for stage in run.stages
            if stage.path == path
        ]
        matrix.append(
            {
                "label": path,
                "stages": [
                    {
                        "label": stage["label"],
                        "scores": {
                            task.name: score_of(task, stage["found"][task.name], rows)
                            for task in run.tasks
                        },
                    }
                    for stage in stages
                ],
            }
        )
    return matrix


def retention(run: Run, scores: Scores) -> dict[str, Any]:
    """For each way and task: the best stage, the end, and what of the gain over base is left."""
    kept: dict[str, Any] = {}
    for path in paths(run, scores):
        if len(path["stages"]) < 3:  # base and one stage: nothing could be lost on the way
            continue
        kept[path["label"]] = {task.name: _retention(task, path["stages"]) for task in run.tasks}
    return kept


def _retention(task: Task, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [stage["scores"][task.name]["mean"] for stage in stages]
    best = max(values) if task.higher_is_better else min(values)
    gain = best - values[0]
    return {
        "best": best,
        "best_stage": stages[values.index(best)]["label"],
        "final": values[-1],
        "retention": (values[-1] - values[0]) / gain if gain else None,
    }
