"""From a recipe to a run that is ready: model found, tasks loaded, every row encoded once.

Everything that can be wrong with what a user gave is found here, before anything is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.data.overlap import check_overlap
from onsa.errors import InputError
from onsa.models import (
    PLAIN_TEMPLATE,
    check_vocabulary,
    find_model,
    import_base,
    load_tokenizer,
    needs_import,
)
from onsa.progress import Progress
from onsa.recipe import Recipe
from onsa.run import Run, claim_folder
from onsa.tasks import Task, load_task
from onsa.weights import Weights


def open_run(recipe: Recipe, base_folder: Path, progress: Progress | None = None) -> Run:
    """The run that `recipe` describes, its relative paths taken from `base_folder`."""
    model_folder = find_model(recipe.model, base_folder)
    tasks = load_tasks(recipe, base_folder)
    encoder = load_encoder(recipe, model_folder, base_folder)
    check_rows(tasks, encoder)
    folder = base_folder / recipe.output
    claim_folder(folder, identity(recipe))
    run = Run(folder, progress)
    run.recipe = recipe
    run.companions = model_folder
    run.encoder = encoder
    run.tasks = tasks
    run.path = recipe.method
    run.base = find_base(run, model_folder)
    for note in (*task_notes(tasks), *overlap_notes(tasks, recipe.overlap_share)):
        run.warn(note)
    return run


def identity(recipe: Recipe) -> dict[str, Any]:
    """What makes two recipes the same run: other settings may change, these may not."""
    return {"model": recipe.model, "tasks": [task.name for task in recipe.tasks]}


def load_tasks(recipe: Recipe, base_folder: Path) -> list[Task]:
    return [
        load_task(task.name, task.kind, task.options, base_folder, recipe.seed, task.weight)
        for task in recipe.tasks
    ]


def load_encoder(recipe: Recipe, model_folder: Path, base_folder: Path) -> Encoder:
    """The model's tokenizer with the template that the recipe asks for."""
    tokenizer = load_tokenizer(model_folder, _template(recipe.chat_template, base_folder))
    check_vocabulary(tokenizer, model_folder)
    return Encoder(tokenizer, recipe.training.max_length)


def _template(chat_template: str | None, base_folder: Path) -> str | None:
    if chat_template is None:
        return None
    if chat_template == "plain":
        return PLAIN_TEMPLATE
    try:
        return (base_folder / chat_template).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as fault:
        raise InputError(
            f"the chat template cannot be read ({fault})",
            where=chat_template,
            way_out="give the path of a jinja file, or 'plain'",
        ) from None


def check_rows(tasks: list[Task], encoder: Encoder) -> None:
    """Encode every row once: a row with nothing to train or to score on is an error here."""
    for task in tasks:
        for row in (*task.train, *task.evaluation):
            try:
                encoder.encode(row)
            except InputError as fault:
                raise InputError(
                    fault.what, where=f"task {task.name}, {row.source}", way_out=fault.way_out
                ) from None


def task_notes(tasks: list[Task]) -> list[str]:
    """What the loading of each task left out."""
    return [f"task {task.name}: {note}" for task in tasks for note in task.notes]


def overlap_notes(tasks: list[Task], allowed_share: float) -> list[str]:
    """A sentence for each task whose evaluation rows are partly training rows of any task."""
    train: list[Example] = [row for task in tasks for row in task.train]
    notes = []
    for task in tasks:
        found = check_overlap(train, task.evaluation, allowed_share)
        if found:
            notes.append(f"task {task.name}: {found}")
    return notes


def find_base(run: Run, model_folder: Path) -> Weights:
    source = Weights(model_folder)
    remote_code = run.recipe.trust_remote_code
    if not needs_import(source, remote_code):
        return source
    return run.step("base", import_base, source=source, remote_code=remote_code)
