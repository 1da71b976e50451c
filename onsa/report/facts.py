"""The figures of a run as one JSON value, `report.json`: every view is made from it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from onsa import __version__
from onsa.data.balance import label_balance
from onsa.files import read_json
from onsa.report.costs import spent, stored_bytes
from onsa.report.flipping import flip
from onsa.report.results import average, normalised, score_of, scores_of
from onsa.resources import describe_machine, versions
from onsa.tasks import VERDICTS
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.masks import ParameterMask
    from onsa.run import Run, StepRecord
    from onsa.tasks import Task

Scores = dict[tuple[str, str], dict[str, Any]]  # (path, stage) -> task -> scores, replies, loss


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
        "steps": _steps(run),
    }


def adapter(run: Run) -> dict[str, Any] | None:
    """What of the result only works over its base; None for a whole model."""
    tuned = [stage.weights for stage in run.stages if stage.path == run.recipe.method][-1]
    if isinstance(tuned, Weights):
        return None
    return {"stored_bytes": tuned.stored_bytes, "quantization": tuned.quantization}


def origin(run: Run, title: str, command: str) -> dict[str, Any]:
    """Where a run comes from: model, recipe, versions, machine."""
    return {
        "title": title,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "onsa_version": __version__,
        "command": command,
        "model": _model(run),
        "recipe": recipe_text(run),
        "seed": run.recipe.seed,
        "versions": versions(),
        "machine": describe_machine(),
    }


def _steps(run: Run) -> list[dict[str, Any]]:
    return [
        {"name": r.name, "digest": r.digest, "seconds": r.seconds, "reused": r.reused}
        for r in run.history
    ]


def results(run: Run, scores: Scores) -> list[dict[str, Any]]:
    """The ends of all ways: the base, the baselines, the result."""
    roles = {"base": "base", run.recipe.method: "result"}
    return [
        _result(run, label, roles.get(label, "baseline"), found)
        for label, found in ends(run, scores).items()
    ]


def on_untrained(run: Run, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What each way's model can do, better or worse than the base, that it was not trained on."""
    labels = [label for label in ("base", *_paths(run)) if label in scores]
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
        "results": [
            _result(run, label, roles.get(label, "baseline"), found)
            for label, found in scores.items()
        ],
        "flips": [
            flip(task, label, "held", found[task.name], scores["held"][task.name])
            for label, found in scores.items()
            if label != "held"
            for task in run.tasks
        ],
    }
    return {
        **facts,
        "tasks": facts.get("tasks", []) + [task_facts(task, run.folder) for task in new],
        "additions": [*facts.get("additions", []), entry],
        "curves": facts.get("curves", []) + curves(run),
        "held": facts.get("held", []) + held(run),
        "notes": facts.get("notes", []) + run.notes + training_notes(run),
        "steps": facts.get("steps", []) + _steps(run),
    }


def _result(run: Run, label: str, role: str, found: Mapping[str, Any]) -> dict[str, Any]:
    own = [record for record in run.history if record.path == label]
    return {
        "label": label,
        "role": role,
        **scores_of(run.tasks, found),
        "average": average(run.tasks, found),
        **spent(own),
        "stored_bytes": stored_bytes(run, label),
    }


def paths(run: Run, scores: Scores) -> list[dict[str, Any]]:
    """The task x stage matrix of each way, every stage on the same rows."""
    rows = run.recipe.stage_rows
    base: dict[str, Any] = {"label": "base", "found": scores["base", "base"]}
    matrix = []
    for path in _paths(run):
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


def flips(run: Run, scores: Scores) -> list[dict[str, Any]]:
    """Base against result, and each baseline against result, on the same examples."""
    after = _end(run, scores, run.recipe.method)
    pairs = [("base", scores["base", "base"])]
    pairs += [(p, _end(run, scores, p)) for p in _paths(run) if p != run.recipe.method]
    return [
        flip(task, label, run.recipe.method, before[task.name], after[task.name])
        for label, before in pairs
        for task in run.tasks
    ]


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


def recipe_text(run: Run) -> str:
    """The recipe as it was carried out, every default written out, as YAML."""
    flat = run.recipe.model_dump(mode="json")
    flat.update(flat.pop("settings"))
    flat.update(flat.pop("training"))
    for key in ("tasks", "untrained_tasks"):
        flat[key] = [_flat(task, "options") for task in flat[key]]
    flat["baselines"] = [_flat(each, "settings", "training") for each in flat["baselines"]]
    return yaml.safe_dump(flat, allow_unicode=True, sort_keys=False)


def _flat(entry: Mapping[str, Any], *inner: str) -> dict[str, Any]:
    """The entry with the keys of its inner mappings among its own, as one writes it."""
    flat = {key: value for key, value in entry.items() if key not in inner}
    for key in inner:
        flat |= entry[key]
    return flat


def _model(run: Run) -> dict[str, Any]:
    local = run.recipe.model.startswith(("/", ".", "~"))
    return {
        "name": run.companions.name if local else run.recipe.model,
        "parameters": run.base.entry_count,
        "digest": run.base.digest,
        "architecture": str(read_json(run.companions / "config.json").get("model_type", "")),
    }


def _head_facts(task: Task) -> dict[str, Any] | None:
    """What the task's head says, where it has one."""
    head = task.head
    return {"problem": head.problem, "labels": list(head.labels)} if head else None


def task_facts(task: Task, folder: Path | None = None) -> dict[str, Any]:
    """What a task is; with a run's folder, also how far to trust its judge, if it has one."""
    sample = task.evaluation[0]
    return {
        "name": task.name,
        "kind": task.kind,
        "metric": task.metric,
        "head": _head_facts(task),
        "how": task.how,
        "agreement": task.agreement(folder / VERDICTS) if folder else None,
        "higher_is_better": task.higher_is_better,
        "lower_is_better": sorted(task.lower_is_better),
        "train_rows": len(task.train),
        "eval_rows": len(task.evaluation),
        "weight": task.weight,
        "rows_per_epoch": task.rows_per_epoch if task.train else 0,
        "split": task.split,
        "labels": label_balance(task.train, task.evaluation),
        "digest": task.digest,
        "source": (task.train or task.evaluation)[0].source,
        "sample": {"prompt": sample.prompt[-1]["content"], "reply": sample.reply},
    }


def _paths(run: Run) -> list[str]:
    """The ways of tuning of this run, baselines first."""
    seen = list(dict.fromkeys(stage.path for stage in run.stages))
    return [path for path in seen if path != run.recipe.method] + [run.recipe.method]


def ends(run: Run, scores: Scores) -> dict[str, dict[str, Any]]:
    """The scores of the base and of the end of each way, by label."""
    return {"base": scores["base", "base"]} | {p: _end(run, scores, p) for p in _paths(run)}


def _end(run: Run, scores: Scores, path: str) -> dict[str, Any]:
    """The scores at the end of a way; of specialists, each task's own."""
    stages = [stage for stage in run.stages if stage.path == path]
    if path in run.specialists:
        return {
            task.name: scores[path, stage.label][task.name]
            for task, stage in zip(run.tasks, stages, strict=True)
        }
    return scores[path, stages[-1].label]
