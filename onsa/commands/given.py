"""Models that a user names to be scored: found, opened, and matched to the tasks they can do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onsa.adapter import CONFIG_FILE, Adapter, Tuned
from onsa.data.encoding import Encoder
from onsa.errors import InputError
from onsa.files import read_json
from onsa.models.base_model import check_model, find_model, open_tuned, position_count
from onsa.models.classifier import Classifier, head_for, is_classifier
from onsa.models.heads import is_generative, read_heads
from onsa.models.loading import read_config
from onsa.models.tokenizer import TOKENIZER_FILES
from onsa.prepare.checks import check_rows
from onsa.prepare.encoder import load_encoder
from onsa.prepare.notes import request_notes
from onsa.prepare.tasks import speaks
from onsa.recipe.schema import Recipe
from onsa.tasks import Task

LANGUAGE_MODEL = "language_model"  # what a run calls the part that is no classifier
WHOLE = ""


@dataclass(frozen=True)
class Part:
    """What scores some of the tasks: one model, or one of several in a run's folder."""

    tuned: Tuned | Classifier
    tasks: tuple[Task, ...]
    encoder: Encoder


@dataclass
class Given:
    """A model as it was named, its parts with the tasks that they score, and what it leaves out."""

    label: str
    named: str
    folder: Path
    kind: str
    base: Path  # its own folder, or the base's under an adapter
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def task_names(self) -> list[str]:
        return [task.name for part in self.parts for task in part.tasks]


def folders_of(named: str) -> dict[str, Path]:
    """The model's folder, or those of a run that made several, by their names.

    Raises:
        InputError: there is no model by that name.
    """
    path = Path(os.path.expanduser(named))  # noqa: PTH111  (Path's own raises for unknown users)
    if not path.exists():
        if named.startswith((".", "/", "~")) or named.count("/") != 1:
            raise InputError(
                "there is no such model",
                where=named,
                way_out="give a model folder, an adapter, a run, or a hub name (owner/name)",
            )
        return {WHOLE: find_model(named, Path.cwd())}
    for folder in (path, path / "model"):
        if _holds_one(folder):
            return {WHOLE: folder}
        if several := {each.name: each for each in sorted(folder.glob("*/")) if _holds_one(each)}:
            return several
    raise InputError(
        "is a file" if path.is_file() else "holds no model",
        where=named,
        way_out="give a model folder, an adapter, a finished run, or a hub name (owner/name)",
    )


def _holds_one(folder: Path) -> bool:
    return (folder / "config.json").is_file() or (folder / CONFIG_FILE).is_file()


def open_given(label: str, named: str, tasks: Sequence[Task], recipe: Recipe, home: Path) -> Given:
    """The model with every task that it can be scored on.

    Raises:
        InputError: it is not there, is broken, or fits none of the tasks.
    """
    folders = folders_of(named)
    if len(folders) > 1:
        folders = {
            name: each
            for name, each in folders.items()
            if name == LANGUAGE_MODEL or name in {task.name for task in tasks}
        }
        if not folders:
            raise InputError(
                "holds several models, none by the name of a task", where=named,
                way_out="name one of them",
            )  # fmt: skip
    opened = {name: _open(folder) for name, folder in folders.items()}
    first = next(iter(opened.values()))
    base = first.base.folder if isinstance(first, Adapter) else first.folder
    given = Given(label, named, next(iter(folders.values())), _kind(folders, first), base)
    faults: list[InputError] = []
    for name, tuned in opened.items():
        own = _tasks_of(name, tasks, several=len(opened) > 1)
        faults += _match(given, tuned, own, recipe, home)
    if not given.parts:
        place = f"{label}, {faults[0].where}"
        raise InputError(faults[0].what, where=place, way_out=faults[0].way_out)
    given.notes += [f"{label} leaves out {fault.where}: {fault.what}" for fault in faults]
    return given


def _kind(folders: dict[str, Path], first: Tuned) -> str:
    if len(folders) > 1:
        return f"{len(folders)} models of a run"
    own = "classifier" if is_classifier(first.folder) else "model"
    if isinstance(first, Adapter):
        return f"adapter for a {own} over {first.base.folder.name}"
    return own


def _open(folder: Path) -> Tuned:
    if not (folder / CONFIG_FILE).is_file():
        find_model(str(folder), Path.cwd())  # refuses pickles
        if "quantization_config" in read_json(folder / "config.json"):
            raise InputError(
                "is quantised, which is not scored here",
                where=folder,
                way_out="give the model that it was made from",
            )
    return open_tuned(folder)


def _tasks_of(name: str, tasks: Sequence[Task], several: bool) -> list[Task]:
    """The tasks that a part by this name is for; of one model, all that it can do."""
    if not several:
        return list(tasks)
    if name == LANGUAGE_MODEL:
        return [task for task in tasks if task.head is None]
    return [task for task in tasks if task.name == name]


def _match(
    given: Given, tuned: Tuned, tasks: Sequence[Task], recipe: Recipe, home: Path
) -> list[InputError]:
    """Give the model its parts; what keeps it from each of the other tasks."""
    faults, scored = [], []
    classifies = is_classifier(tuned.folder)
    for task in tasks:
        try:
            if classifies:
                given.parts.append(_classifying(tuned, task, recipe, home))
            else:
                _require_its_place(tuned, task)
                scored.append(task)
        except InputError as fault:
            place = f"task {task.name}"
            faults.append(InputError(fault.what, where=place, way_out=fault.way_out))
    if scored:
        if not isinstance(tuned, Adapter) and not read_heads(tuned.folder):
            check_model(tuned, recipe.trust_remote_code)
        encoder, notes = _encoder(tuned, scored, recipe, home)
        given.notes += [f"{given.label}, {note}" for note in notes]
        given.parts.append(Part(tuned, tuple(scored), encoder))
    return faults


def _classifying(tuned: Tuned, task: Task, recipe: Recipe, home: Path) -> Part:
    if task.head is None:
        raise InputError(
            "is a classifier, and the task's replies are said in words",
            where=tuned.folder,
            way_out="give a language model, or a task that a classifier can do",
        )
    classifier = Classifier(tuned, task.name, head_for(tuned, task.head))
    return Part(classifier, (task,), _encoder(tuned, [task], recipe, home)[0])


def _require_its_place(tuned: Tuned, task: Task) -> None:
    """Refuse a task whose head the model lacks, or replies where it says none."""
    heads = read_heads(tuned.folder)
    if task.head is not None:
        found = heads.get(task.name)
        if found is None or set(found.labels) != set(task.head.labels):
            raise InputError(
                "has no head for it",
                where=tuned.folder,
                way_out="give a classifier, or write 'by: likelihood' in the task",
            )
    elif heads and not is_generative(read_config(tuned.folder)):
        raise InputError(
            "has heads only, and the task's replies are said in words",
            where=tuned.folder,
            way_out="give a language model",
        )


def _encoder(
    tuned: Tuned, tasks: Sequence[Task], recipe: Recipe, home: Path
) -> tuple[Encoder, list[str]]:
    """The model's own tokenizer, every row encoded once, and what it cuts."""
    base = tuned.base.folder if isinstance(tuned, Adapter) else tuned.folder
    own = any((tuned.folder / name).is_file() for name in TOKENIZER_FILES[:2])
    encoder = load_encoder(recipe, base, home, speaks(tasks), tuned.folder if own else base)
    positions, virtual = position_count(base, recipe.trust_remote_code), _virtual_tokens(tuned)
    check_rows(list(tasks), encoder, positions, virtual)
    return encoder, request_notes(tasks, encoder, positions, virtual)


def _virtual_tokens(tuned: Tuned) -> int:
    if not isinstance(tuned, Adapter):
        return 0
    count = read_json(tuned.folder / CONFIG_FILE).get("num_virtual_tokens")
    return count if isinstance(count, int) else 0
