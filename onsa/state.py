"""What a finished run hands on: its weights, its tasks' evaluation rows, their cores.

`onsa add` needs nothing else: the training data of the earlier tasks may be gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from onsa.adapter import CONFIG_FILE
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.files import read_json, write_json
from onsa.masks import ParameterMask
from onsa.models.head import head_from_json
from onsa.models.heads import read_heads
from onsa.recipe.schema import Recipe
from onsa.run import Run
from onsa.settings import Settings, validated
from onsa.tasks import Task, find_kind
from onsa.weights import Weights

FILE = "state.json"


class KeptMessage(Settings):
    """A message of an evaluation row in `state.json`; `data/example.py` says what its keys are."""

    role: str
    content: str
    tool_calls: list[dict[str, Any]] | None = None
    name: str | None = None
    tool_call_id: str | None = None


class KeptExample(Settings):
    """An evaluation row in `state.json`."""

    messages: list[KeptMessage] = Field(min_length=2)
    extra: dict[str, Any]
    source: str
    weight: float = 1.0
    group: str = ""
    target: int | float | list[int] | None = None
    only_last: bool = False


class KeptTask(Settings):
    """A task in `state.json`."""

    name: str
    kind: str
    settings: dict[str, Any]
    weight: float
    evaluation: list[KeptExample] = Field(min_length=1)
    head: dict[str, Any] | None = None


class KeptRecipe(Settings):
    """A recipe in `state.json`, and the folder that its paths start from."""

    home: str
    recipe: Recipe


class KeptState(Settings):
    """The content of `state.json`; paths are from its folder where they are inside it."""

    recipes: list[KeptRecipe] = Field(min_length=1)
    model_folder: str
    base: str
    weights: str
    tasks: list[KeptTask]
    cores: dict[str, str]
    additions: int = Field(ge=0)


@dataclasses.dataclass
class State:
    """The state of a run between two commands.

    `tasks` have evaluation rows only. `cores` are by the names of the tasks that were trained
    together; empty where the method found none. `recipes` are the run's own and those of what was
    added, each with the folder that its paths start from.
    """

    recipes: list[tuple[Path, Recipe]]
    model_folder: Path
    base: Weights
    weights: Weights
    tasks: list[Task]
    cores: dict[str, ParameterMask]
    additions: int = 0


def save_state(run: Run, state: State) -> None:
    """Write the state; `state.json` last, so that what it names is there."""
    places = {}
    (run / "cores").mkdir(exist_ok=True)
    for number, (name, core) in enumerate(state.cores.items()):
        places[name] = f"cores/{state.additions}-{number}.safetensors"
        if not (run / places[name]).exists():
            core.save(run / places[name])
    write_json(
        run / FILE,
        {
            "recipes": [
                {"home": str(home.resolve()), "recipe": recipe.model_dump(mode="json")}
                for home, recipe in state.recipes
            ],
            "model_folder": str(state.model_folder.resolve()),
            "base": _place(run, state.base),
            "weights": _place(run, state.weights),
            "tasks": [_task_to_json(task) for task in state.tasks],
            "cores": places,
            "additions": state.additions,
        },
    )


def load_state(folder: Path) -> State:
    """The state of a finished run.

    Raises:
        InputError: there is none, or what it names is gone.
    """
    if not (folder / FILE).is_file():
        raise _no_state(folder)
    kept = validated(KeptState, read_json(folder / FILE), folder / FILE)
    if not Path(kept.model_folder).is_dir():
        raise InputError(
            f"the base model is gone ({kept.model_folder})",
            where=folder / FILE,
            way_out="put it back there, or mend 'model_folder' in that file",
        )
    tasks = [_task_from_json(task, folder / FILE) for task in kept.tasks]
    _require_own_heads(tasks, folder / kept.weights, folder / FILE)
    return State(
        recipes=[(Path(each.home), each.recipe) for each in kept.recipes],
        model_folder=Path(kept.model_folder),
        base=Weights(folder / kept.base),
        weights=Weights(folder / kept.weights),
        tasks=tasks,
        cores={name: ParameterMask.load(folder / path) for name, path in kept.cores.items()},
        additions=kept.additions,
    )


def _no_state(folder: Path) -> InputError:
    """Why a folder holds no state: it may be a run that ended in something else than one model."""
    if any((folder / "model").rglob(CONFIG_FILE)):
        return InputError(
            "its result is an adapter, and tasks are added to whole weights",
            where=folder,
            way_out="merge it with 'onsa merge', and give the merged model with --base",
        )
    if _ended_in_specialists(folder):
        return InputError(
            "its result is one model for each task, and tasks are added to one model",
            where=folder,
            way_out="tune with another method, such as cpi_ft or full",
        )
    return InputError(
        "holds no finished run",
        where=folder,
        way_out="give the folder that 'onsa tune' wrote, or a tuned model with --base",
    )


def _ended_in_specialists(folder: Path) -> bool:
    try:
        return bool(read_json(folder / "report.json")["method"]["name"] == "single")
    except (InputError, OSError, ValueError, LookupError, TypeError):
        return False


def _require_own_heads(tasks: Sequence[Task], weights: Path, where: Path) -> None:
    """Rows are scored by the labels that the model's heads have learned, in their order."""
    heads = read_heads(weights)
    for task in tasks:
        if task.head is not None and heads.get(task.name) != task.head:
            raise InputError(
                f"its task {task.name!r} has another head than the model",
                where=where,
                way_out="undo what was changed in that file",
            )


def _place(run: Run, weights: Weights) -> str:
    """Below the run as a relative path, so that the run's folder may move; else absolute."""
    inside = weights.folder.is_relative_to(run.folder)
    return str(weights.folder.relative_to(run.folder) if inside else weights.folder.resolve())


def _task_to_json(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "kind": task.kind,
        "settings": task.settings.model_dump(mode="json", exclude_unset=True),
        "weight": task.weight,
        "evaluation": [dataclasses.asdict(example) for example in task.evaluation],
        "head": dataclasses.asdict(task.head) if task.head else None,
    }


def _task_from_json(kept: KeptTask, where: Path) -> Task:
    rows = tuple(
        Example(
            tuple(turn.model_dump(exclude_none=True) for turn in row.messages),
            row.extra,
            row.source,
            row.weight,
            row.group,
            tuple(row.target) if isinstance(row.target, list) else row.target,
            row.only_last,
        )
        for row in kept.evaluation
    )
    settings = validated(find_kind(kept.kind).settings, kept.settings, f"{where}: {kept.name}")
    head = head_from_json(kept.head) if kept.head else None
    return Task(kept.name, kept.kind, settings, (), rows, kept.weight, (), head)
