"""From a recipe to a run that is ready."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from onsa.data.encoding import Encoder
from onsa.errors import InputError
from onsa.models.base_model import Checked, check_model, find_model, position_count
from onsa.models.importing import import_base, import_with_heads, needs_import
from onsa.prepare.checks import (
    Ways,
    check_adapters,
    check_choices,
    check_effects,
    check_metric,
    check_rates,
    check_rows,
    require_text,
)
from onsa.prepare.encoder import load_encoder
from onsa.prepare.notes import (
    length_notes,
    model_notes,
    overlap_notes,
    request_notes,
    task_notes,
    unknown_notes,
)
from onsa.prepare.tasks import (
    ASKED,
    heads_for,
    kept_apart,
    load_tasks,
    mixed,
    probe_tasks,
    require_rows,
    require_trainable,
    speaks,
)
from onsa.progress import Progress
from onsa.recipe.schema import Recipe
from onsa.run import Run, claim_folder
from onsa.tasks import Task
from onsa.training.energy import require_codecarbon
from onsa.weights import Weights


class Ready(NamedTuple):
    """What a recipe names, found, loaded and checked; nothing is written for it."""

    tasks: list[Task]
    untrained_tasks: list[Task]  # scored only
    model_folder: Path
    encoder: Encoder
    model: Checked
    notes: list[str]  # what a person should know before anything is trained


def make_ready(recipe: Recipe, base_folder: Path, ways: Ways) -> Ready:
    """What `recipe` names, its relative paths taken from `base_folder`.

    Raises:
        InputError: whatever is wrong with it, but for the output's folder.
    """
    if recipe.energy:
        require_codecarbon()
    require_trainable(recipe.tasks)
    tasks = load_tasks(recipe.tasks, base_folder, recipe.seed)
    require_rows(tasks)
    untrained = [
        dataclasses.replace(task, train=())
        for task in load_tasks(recipe.untrained_tasks, base_folder, recipe.seed)
    ]
    tasks = mixed(kept_apart(tasks, recipe.tasks, [*tasks, *untrained]), recipe.task_balance)
    if recipe.prompts and not any(task.mode in ASKED for task in tasks):
        raise InputError(
            "no task has replies that are asked for",
            where="prompts",
            way_out="take it out: heads and losses are not prompted",
        )
    if recipe.probe:
        untrained += probe_tasks([*tasks, *untrained])
    model_folder = find_model(recipe.model, base_folder)
    require_text(base_folder / recipe.output, model_folder)
    both = [*tasks, *untrained]
    heads, generative = heads_for(tasks, untrained)
    encoder = load_encoder(recipe, model_folder, base_folder, speaks(both))
    model = check_model(Weights(model_folder), recipe.trust_remote_code, heads, generative)
    check_choices(ways, model)
    check_rates(recipe, model)
    check_effects(recipe, tasks)
    check_metric(recipe, tasks)
    virtual_tokens = check_adapters(ways, recipe, model_folder, encoder)
    if heads and virtual_tokens:
        raise InputError(
            "virtual tokens are put before prompts, and a task with a head has none",
            where=f"task {next(iter(heads))}",
            way_out="choose another method, such as lora or adapter",
        )
    positions = position_count(model_folder, recipe.trust_remote_code)
    check_rows(both, encoder, positions, virtual_tokens)
    notes = [
        *task_notes(both),
        *overlap_notes(both, recipe.overlap_share),
        *model_notes(model),
        *length_notes(tasks, encoder),
        *unknown_notes(tasks, encoder),
        *request_notes(untrained, encoder, positions),
    ]
    return Ready(tasks, untrained, model_folder, encoder, model, notes)


def open_run(
    recipe: Recipe, base_folder: Path, ways: Ways, progress: Progress | None = None
) -> Run:
    """The run that `recipe` describes, claimed once all of it is found to be right."""
    ready = make_ready(recipe, base_folder, ways)
    folder = base_folder / recipe.output
    claim_folder(folder, identity(recipe))
    return begin_run(ready, recipe, folder, progress)


def begin_run(ready: Ready, recipe: Recipe, folder: Path, progress: Progress | None) -> Run:
    """The run of `recipe` in a folder that is claimed for it."""
    run = Run(folder, progress)
    run.recipe = recipe
    run.companions = ready.model_folder
    run.encoder = ready.encoder
    run.tasks = ready.tasks
    run.untrained_tasks = ready.untrained_tasks
    run.path = recipe.method
    run.energy = recipe.energy
    run.base = find_base(run, ready.model_folder)
    for note in ready.notes:
        run.warn(note)
    return run


def identity(recipe: Recipe) -> dict[str, Any]:
    """What makes two recipes the same run: other settings may change, these may not."""
    return {"model": recipe.model, "tasks": [task.name for task in recipe.tasks]}


def find_base(run: Run, model_folder: Path) -> Weights:
    """The weights that training starts from, under the names of the model's parameters."""
    source = Weights(model_folder)
    remote_code = run.recipe.trust_remote_code
    heads, generative = heads_for(run.tasks, run.untrained_tasks)
    if heads:
        return run.step(
            "base",
            import_with_heads,
            source=source,
            heads={task: dataclasses.asdict(head) for task, head in heads.items()},
            generative=generative,
            seed=run.recipe.seed,
            remote_code=remote_code,
        )
    if not needs_import(source, remote_code):
        return source
    return run.step("base", import_base, source=source, remote_code=remote_code)
