"""Where a run comes from, and what its tasks are."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from onsa import __version__
from onsa.data.balance import label_balance
from onsa.files import read_json
from onsa.resources import describe_machine, versions
from onsa.tasks import VERDICTS

if TYPE_CHECKING:
    from onsa.run import Run
    from onsa.tasks import Task


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
        "is_share": task.is_share,
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
