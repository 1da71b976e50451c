"""What a finished folder of `tune`, `compare` or `eval` says of itself, in one shape for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onsa.errors import InputError
from onsa.plain_yaml import load_yaml
from onsa.report.scores import Facts, tuned_result

COSTS = (
    "trained_tokens", "seconds", "training_seconds", "training_flops", "peak_memory_bytes",
    "stored_bytes", "energy_kwh",
)  # fmt: skip
OF_A_ROW = {"digest": str, "prompt": str, "reference": str}


@dataclass(frozen=True)
class Record:
    """A run: `kind` is tune, compare or eval; `main` the label of what it is about."""

    name: str
    kind: str
    facts: Facts
    rows: Facts | None  # what `rows.json` holds, where the run kept it
    main: str

    @property
    def settings(self) -> dict[str, Any]:
        """Every key that the run was made with, inner ones by their path."""
        recipe = _read(str(self.facts.get("recipe") or ""))
        method = self.facts.get("method") or {}
        ways = {label: way.get("settings") for label, way in (self.facts.get("ways") or {}).items()}
        whole = {**(method.get("settings") or {}), **recipe, **({"ways": ways} if ways else {})}
        whole.pop("output", None)
        return flattened(whole)

    @property
    def tasks(self) -> dict[str, Facts]:
        """Trained and other tasks by name."""
        other = (self.facts.get("untrained") or {}).get("tasks") or []
        listed = [*(self.facts.get("tasks") or []), *other]
        listed += self.facts.get("untrained_tasks") or []
        return {str(task.get("name")): task for task in listed}

    @property
    def results(self) -> dict[str, Facts]:
        """The entries of all that was scored, by label."""
        listed = self.facts.get("rows" if self.kind == "compare" else "results") or []
        return {str(each.get("label")): each for each in listed if each.get("scores")}

    @property
    def costs(self) -> dict[str, Facts]:
        """What each took, by label."""
        return {label: each.get("cost") or each for label, each in self.results.items()}

    @property
    def places(self) -> dict[str, Any]:
        """Versions, machine and model, by name."""
        machine = self.facts.get("machine") or {}
        model = self.facts.get("model") or {}
        return {
            "onsa": self.facts.get("onsa_version"),
            **(self.facts.get("versions") or {}),
            **{f"machine: {key}": value for key, value in machine.items()},
            **{f"model: {key}": value for key, value in model.items()},
        }

    def scores(self, label: str, task: str) -> dict[str, Facts]:
        """What `label` said of each row of a task, by seed; empty where it was not kept."""
        by_seed = ((self.rows or {}).get("scores") or {}).get(label) or {}
        return {seed: each[task] for seed, each in by_seed.items() if task in each}

    def task_rows(self, task: str) -> Facts | None:
        return ((self.rows or {}).get("tasks") or {}).get(task)


def _read(recipe: str) -> dict[str, Any]:
    """The recipe's keys; of one that cannot be read, its text."""
    try:
        keys = load_yaml(recipe, "recipe")
    except InputError:
        return {"recipe": recipe}
    return keys if isinstance(keys, dict) else {}


def main_label(kind: str, facts: Facts) -> str:
    """What a run is about: its result, the best way, the last model."""
    if kind == "compare":
        return str(facts.get("best"))
    return str((tuned_result(list(facts.get("results") or [])) or {}).get("label"))


def flattened(value: Any, path: str = "") -> dict[str, Any]:
    """`{"tasks": [{"name": "a", "rows": 3}]}` as `{"tasks.a.rows": 3}`."""
    if isinstance(value, Mapping) and value:
        inner = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list) and value and all(_name(each) for each in value):
        inner = [(_name(each), _without_name(each)) for each in value]
    else:
        return {path: value} if path else {}
    found: dict[str, Any] = {}
    for key, each in inner:
        found |= flattened(each, f"{path}.{key}" if path else key)
    return found


def _name(entry: Any) -> str:
    return str(entry.get("label") or entry.get("name") or "") if isinstance(entry, Mapping) else ""


def _without_name(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("label", "name")}


def check_rows(rows: Facts) -> None:
    """Raise what reading raises where `rows.json` is not as it was written."""
    for task in rows["tasks"].values():
        for row in task["evaluation"]:
            for key, kind in OF_A_ROW.items():
                if not isinstance(row[key], kind):
                    raise TypeError(f"{key} of a row")
    for label, by_seed in rows["scores"].items():
        for found in by_seed.values():
            for task, said in found.items():
                count = len(rows["tasks"][task]["evaluation"])
                if not len(said["scores"]) == len(said["replies"]) == count:
                    raise ValueError(f"{label} has not a score for each row of {task}")
