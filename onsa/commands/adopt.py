"""A run made of a tuned model and its base, whoever tuned it, so that tasks can be added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onsa.commands.addition import KEPT, build_addition
from onsa.errors import InputError
from onsa.figures.provenance import origin
from onsa.models.base_model import check_model, find_model, is_encoder
from onsa.models.loading import read_config
from onsa.prepare.encoder import load_encoder
from onsa.prepare.ready import find_base
from onsa.prepare.tasks import heads_for, load_tasks, speaks
from onsa.progress import Progress
from onsa.recipe.schema import Recipe
from onsa.report.write import write_report
from onsa.run import Run, claim_folder
from onsa.state import FILE, State, save_state
from onsa.tasks import Task
from onsa.weights import Weights, require_same_tensors


def adopt(
    model: Path, base: str, raw: dict[str, Any], home: Path, progress: Progress | None
) -> Path:
    """Make a run of a tuned model and its base, whoever tuned it; its folder is `output`."""
    output = raw.pop("output", None)
    if not isinstance(output, str):
        raise InputError(
            "a tuned model that is no run needs 'output'",
            where=model,
            way_out="add 'output: runs/name' to the recipe",
        )
    folder = home / output
    companions, tuned_folder = find_model(base, home), find_model(str(model), Path.cwd())
    # Refuses what is wrong with it.
    recipe = build_addition({**raw, "model": base}, raw, folder, "added recipe")
    headed = _tasks_of_an_encoder(recipe, companions, home)
    claim_folder(folder, {"model": base, "tasks": [str(tuned_folder.resolve())]})
    if (folder / FILE).is_file():
        return folder
    run = Run(folder, progress)
    try:
        own = {key: raw[key] for key in KEPT if key in raw}
        run.recipe = build_addition(
            {**own, "model": base, "tasks": [{"name": "unknown"}]}, {}, folder, model
        )
        run.companions = companions
        run.tasks = headed
        if headed:
            run.encoder = load_encoder(recipe, companions, home, speaks(headed))
        run.base = find_base(run, companions)
        tuned = find_base(run, tuned_folder)
        require_same_tensors(run.base, tuned)
        title = f"{model.name}, a tuned model, and what was added to it"
        write_report(folder, origin(run, title, ""))
        save_state(run, State([(home, run.recipe)], companions, run.base, tuned, [], {}))
    finally:
        run.release()
    return folder


def _tasks_of_an_encoder(recipe: Recipe, folder: Path, home: Path) -> list[Task]:
    """The tasks whose heads the model begins with where it is none that says replies; else none.

    Raises:
        InputError: one of them has no head.
    """
    config = read_config(folder, recipe.trust_remote_code)
    if not is_encoder(config, recipe.trust_remote_code):
        return []
    tasks = load_tasks(recipe.tasks, home, recipe.seed)
    check_model(Weights(folder), recipe.trust_remote_code, *heads_for(tasks, ()))
    return tasks
