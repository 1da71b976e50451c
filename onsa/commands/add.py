"""`onsa add`: a task that comes later, learned while the cores of the earlier ones are held.

The earlier tasks' training data may be gone: their cores and their evaluation rows are kept in the
run, and that is all that is needed to hold what they learned and to measure what is left of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onsa.commands.addition import Addition, recipe_of_addition
from onsa.commands.adopt import adopt
from onsa.commands.report import read_report
from onsa.commands.tune import export
from onsa.cores.steps import find_core
from onsa.data.budget import tokens_of_an_epoch
from onsa.data.split import sample_rows
from onsa.errors import InputError
from onsa.evaluation.scoring import run_scoring
from onsa.figures.additions import with_addition, without_unfinished
from onsa.masks import ParameterMask, union
from onsa.models.base_model import check_model, position_count
from onsa.models.carried import another_head
from onsa.models.growing import Wanted, grow, places
from onsa.models.head import Head
from onsa.models.head_names import shared
from onsa.models.heads import heads_of
from onsa.models.loading import read_config
from onsa.prepare.checks import check_effects, check_rows
from onsa.prepare.encoder import load_encoder
from onsa.prepare.notes import length_notes, overlap_notes, task_notes, unknown_notes
from onsa.prepare.tasks import (
    heads_for,
    kept_apart,
    load_tasks,
    require_rows,
    require_trainable,
    speaks,
)
from onsa.progress import Progress
from onsa.recipe.reading import read_raw
from onsa.recipe.schema import Recipe, TaskRecipe
from onsa.report.write import write_report
from onsa.run import Run
from onsa.state import State, load_state, save_state
from onsa.tasks import Task
from onsa.training.train import run_training
from onsa.weight_ops import random_entries
from onsa.weights import Weights

CORE_SHARE = 0.01  # of a core where the run has none and the recipe says nothing


def add_tasks(
    folder: Path,
    recipe: Path,
    overrides: list[str],
    base: str | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Run:
    """Teach the run in `folder`, or the tuned model there with its `base`, the recipe's tasks."""
    raw = read_raw(recipe, overrides)
    home = recipe.resolve().parent
    if base is not None:
        folder = adopt(folder, base, raw, home, progress)
    return add_by_recipe(folder, raw, home, progress, command, where=recipe)


def add_by_recipe(
    folder: Path,
    raw: Mapping[str, Any],
    home: Path | None = None,
    progress: Progress | None = None,
    command: str = "",
    where: object = "added recipe",
) -> Run:
    """Add tasks by the keys of a recipe; relative paths start from `home`.

    Nothing is written before all that was given is found to be right.
    """
    home = home or Path.cwd()
    state = load_state(folder)
    facts = without_unfinished(read_report(folder)[0], state.additions)
    recipe = recipe_of_addition(raw, state, folder, where)
    require_trainable(recipe.tasks)
    new = load_tasks(recipe.tasks, home, recipe.seed)
    require_rows(new)
    check_effects(recipe, new, set(raw))
    wanted = _wanted(recipe, state, new)
    run = _reopen(folder, state, recipe, new, home if "chat_template" in raw else None, progress)
    try:
        return _add(run, state, new, wanted, home, facts, command)
    finally:
        run.release()


def _reopen(
    folder: Path,
    state: State,
    recipe: Recipe,
    new: list[Task],
    home: Path | None,
    progress: Progress | None,
) -> Run:
    encoder = load_encoder(
        recipe, state.model_folder, home or state.recipes[0][0], speaks([*state.tasks, *new])
    )
    run = Run(folder, progress)
    run.recipe = recipe
    run.companions = state.model_folder
    run.base = state.base
    run.encoder = encoder
    return run


def _add(
    run: Run,
    state: State,
    new: list[Task],
    wanted: Wanted,
    home: Path,
    facts: dict[str, Any],
    command: str,
) -> Run:
    settings = Addition(**run.recipe.settings)
    new, replayed = _rows(run, state, settings, new)
    name = f"add/{state.additions + 1}"
    state = _grown(run, name, state, wanted)
    cores = state.cores
    if settings.core_share or not cores:
        cores = {"earlier": _core(run, f"{name}/earlier", state.base, state.weights, settings)}
    held = _held(run, cores, settings)
    ends = _train(run, name, state, settings, new, replayed, held)
    run.tasks = [*state.tasks, *new]
    scores = {
        label: run_scoring(
            run, f"score/{name}/{label.split()[0]}", weights=weights, tasks=run.tasks
        )
        for label, weights in ends.items()
    }
    label = " + ".join(task.name for task in new)
    core = _core(run, f"{name}/core", state.weights, ends["held"], settings)
    state = _next(run, state, home, ends["held"], {**(state.cores or cores), label: core})
    export(run, ends["held"])
    write_report(run.folder, with_addition(facts, run, new, scores, held, settings.replay, command))
    save_state(run, state)  # last: from here on the addition counts
    return run


def _rows(
    run: Run, state: State, settings: Addition, new: list[Task]
) -> tuple[list[Task], list[Task]]:
    """The new tasks and those that are replayed, checked, with what people should know of them."""
    positions = position_count(state.model_folder, run.recipe.trust_remote_code)
    check_rows([*new, *state.tasks], run.encoder, positions)
    new = kept_apart(new, run.recipe.tasks, [*state.tasks, *new])
    replayed = _replayed(run, state, settings, new)
    # The rows that earlier tasks are scored on must not come back as training rows.
    for note in (
        *task_notes(new),
        *overlap_notes([*state.tasks, *new, *replayed], run.recipe.overlap_share),
        *length_notes(new, run.encoder),
        *unknown_notes(new, run.encoder),
    ):
        run.warn(note)
    return new, replayed


def _train(
    run: Run,
    name: str,
    state: State,
    settings: Addition,
    new: list[Task],
    replayed: list[Task],
    held: ParameterMask | None,
) -> dict[str, Weights]:
    """What is compared: the weights as they were, trained on with cores held, and without."""
    run.progress.expect(_tokens_to_train(run, settings, new, replayed))
    run.path = "held"
    finished = [task.name for task in state.tasks if task.head is not None]
    changes: dict[str, Any] = {"held_heads": finished} if finished and held else {}
    trained = run_training(
        run,
        f"{name}/held",
        start=state.weights,
        tasks=[*new, *replayed],
        hold=held,
        **changes,
    )
    ends = {"before": state.weights, "held": trained["weights"]}
    if settings.compare:
        run.path = "plain sequence"
        plain = run_training(run, f"{name}/plain", start=state.weights, tasks=new)
        ends["plain sequence"] = plain["weights"]
    return ends


def _wanted(recipe: Recipe, state: State, new: list[Task]) -> Wanted:
    """What the model shall have: the heads of all tasks, and whether it shall say replies.

    Raises:
        InputError: it is of an architecture that cannot have this.
    """
    heads, generative = heads_for(new, ())
    remote_code = recipe.trust_remote_code
    for task, known in heads_of(read_config(state.weights.folder, remote_code)).items():
        if heads.get(task, known) != known:  # of an adopted model that went no further
            raise another_head(task, known)
    wanted = Wanted.beside(state.weights, heads, generative, remote_code)
    if not wanted.is_had_by(state.weights, remote_code):
        origin = Weights(state.model_folder)
        check_model(origin, remote_code, wanted.heads, wanted.generative)
    return wanted


def _grown(run: Run, name: str, state: State, wanted: Wanted) -> State:
    """The state with a base, weights and cores that have what is wanted."""
    remote_code = run.recipe.trust_remote_code
    if wanted.is_had_by(state.weights, remote_code):
        return state
    base, weights = (
        run.step(
            f"{name}/{label}",
            grow,
            source=source,
            origin=Weights(state.model_folder),
            heads={task: dataclasses.asdict(head) for task, head in wanted.heads.items()},
            generative=wanted.generative,
            seed=run.recipe.seed,
            remote_code=remote_code,
        )
        for label, source in (("base", state.base), ("start", state.weights))
    )
    run.base = base
    names = places(weights.names, state.weights.names, read_config(weights.folder, remote_code))
    cores = {label: core.moved(weights.float_shapes, names) for label, core in state.cores.items()}
    return dataclasses.replace(state, base=base, weights=weights, cores=cores)


def _tokens_to_train(
    run: Run, settings: Addition, new: list[Task], replayed: list[Task]
) -> int | None:
    """Of all trainings of the addition; None where `max_steps` sets their length."""
    training = run.recipe.training
    if training.max_steps > 0:
        return None
    trained = [*new, *replayed, *(new if settings.compare else [])]
    return round(training.num_train_epochs * tokens_of_an_epoch(trained, run.encoder))


def _next(
    run: Run, state: State, home: Path, weights: Weights, cores: dict[str, ParameterMask]
) -> State:
    return dataclasses.replace(
        state,
        recipes=[*state.recipes, (home, run.recipe)],
        weights=weights,
        tasks=[dataclasses.replace(task, train=()) for task in run.tasks],
        cores=cores,
        additions=state.additions + 1,
    )


def _core(
    run: Run, name: str, before: Weights, after: Weights, settings: Addition
) -> ParameterMask:
    return run.step(
        name,
        find_core,
        base=before,
        tuned=after,
        share=settings.core_share or CORE_SHARE,
        rule=settings.saliency,
        seed=run.recipe.seed,
    )


def _held(run: Run, cores: Mapping[str, ParameterMask], settings: Addition) -> ParameterMask | None:
    together = union(run.base.float_shapes, cores.values())
    if settings.hold == "none":
        return None
    if settings.hold == "random":
        drawn = random_entries(shared(together.shapes), together.count, run.recipe.seed)
        return drawn.moved(together.shapes, {name: name for name in drawn.shapes})
    return together


def _replayed(run: Run, state: State, settings: Addition, new: list[Task]) -> list[Task]:
    """A share of the earlier tasks' training rows, read again from where the run had them."""
    if not settings.replay:
        return []
    known = {task.name: task.head for task in state.tasks}
    try:
        earlier = [
            dataclasses.replace(task, head=known[task.name])
            for home, recipe in state.recipes
            for task in load_tasks(_as_learned(recipe, known), home, recipe.seed)
        ]
    except InputError as fault:
        raise InputError(
            f"replay needs the earlier tasks' rows: {fault.what}",
            where=fault.where,
            way_out="bring them back, or leave replay out",
        ) from None
    asked = [task for _, recipe in state.recipes for task in recipe.tasks]
    earlier = kept_apart(earlier, asked, [*state.tasks, *new])
    return [sample_rows(task, settings.replay, run.recipe.seed) for task in earlier]


def _as_learned(recipe: Recipe, known: Mapping[str, Head | None]) -> list[TaskRecipe]:
    """The recipe's tasks with the labels that their heads have learned, whatever rows say now.

    Without those that were not trained: an adopted model came with none.
    """
    learned = []
    for task in recipe.tasks:
        if task.name in known:
            head = known[task.name]
            labels = {"labels": list(head.labels)} if head and head.labels else {}
            learned.append(task.model_copy(update={"options": {**task.options, **labels}}))
    return learned
