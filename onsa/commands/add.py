"""`onsa add`: a task that comes later, learned while the cores of the earlier ones are held.

The earlier tasks' training data may be gone: their cores and their evaluation rows are kept in the
run, and that is all that is needed to hold what they learned and to measure what is left of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from onsa.commands.report import read_report
from onsa.commands.tune import export
from onsa.cores import saliency
from onsa.cores.steps import find_core
from onsa.data.budget import tokens_of_an_epoch
from onsa.data.split import sample_rows
from onsa.errors import InputError
from onsa.evaluation import run_scoring
from onsa.masks import ParameterMask, union
from onsa.models.base_model import find_model, position_count
from onsa.prepare.checks import check_rows
from onsa.prepare.encoder import load_encoder
from onsa.prepare.notes import length_notes, overlap_notes, task_notes
from onsa.prepare.ready import find_base
from onsa.prepare.tasks import load_tasks, require_trainable
from onsa.progress import Progress
from onsa.recipe.reading import build_recipe, read_raw
from onsa.recipe.schema import Recipe
from onsa.recipe.training import BEST_STATE_KEYS, EITHER_OR
from onsa.report.facts import origin, with_addition
from onsa.report.write import write_report
from onsa.run import Run, claim_folder
from onsa.settings import Settings, Share, known_in
from onsa.state import FILE, State, load_state, save_state
from onsa.tasks import Task
from onsa.training.train import run_training
from onsa.weight_ops import random_entries
from onsa.weights import Weights, require_same_tensors

CORE_SHARE = 0.01  # of a core where the run has none and the recipe says nothing
# Keys of a recipe that the earlier run has settled, or that have no effect here.
NOT_HERE = (
    "method", "baselines", "model", "output", "stage_rows", "task_balance", "untrained_tasks",
    "prompts", "prompt_rows", "probe",
)  # fmt: skip
KEPT = {"model", "seed", "chat_template", "overlap_share", "output_dtype", "trust_remote_code"}
SaliencyRule = Annotated[str, known_in(saliency.saliency)]


class Addition(Settings):
    """The keys of a recipe for `onsa add`, beside `tasks` and the training keys."""

    no_effect: ClassVar[frozenset[str]] = BEST_STATE_KEYS

    core_share: Share | None = Field(
        None, description="hold so large a core of all that was learned, not the run's own cores"
    )
    saliency: SaliencyRule = Field("update", description="what makes an entry part of a core")
    hold: Literal["cores", "random", "none"] = Field(
        "cores", description="what is still: the cores, as many random entries, nothing"
    )
    replay: float = Field(0.0, ge=0, lt=1, description="share of earlier tasks' rows mixed in")
    compare: bool = Field(True, description="also train plainly: nothing held, nothing replayed")

    @model_validator(mode="after")
    def _nothing_is_missing(self) -> Addition:
        if self.saliency == "adam":
            raise InputError(
                "the saliency rule 'adam' needs a second moment, which no addition keeps",
                way_out="choose 'update'",
            )
        return self


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
        folder = _adopt(folder, base, raw, home, progress)
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
    facts, _ = read_report(folder)
    recipe = _recipe(raw, state, folder, where)
    run = _reopen(folder, state, recipe, home if "chat_template" in raw else None, progress)
    try:
        return _add(run, state, Addition(**recipe.settings), home, facts, command)
    finally:
        run.release()


def _recipe(raw: Mapping[str, Any], state: State, folder: Path, where: object) -> Recipe:
    """The new recipe over what the run was made with."""
    _, first = state.recipes[0]
    kept = first.model_dump(include=KEPT) | first.training.model_dump(exclude=set(BEST_STATE_KEYS))
    for pair in EITHER_OR:
        if any(key in raw for key in pair):  # what is given now decides, not what was given then
            kept = {key: value for key, value in kept.items() if key not in pair}
    if "lr_scheduler_type" in raw:
        kept.pop("warmup_ratio")
    recipe = _build({**kept, **raw}, raw, folder, where)
    known = {task.name.casefold() for task in state.tasks}
    for task in recipe.tasks:
        if task.name.casefold() in known:
            raise InputError(
                f"the run has a task {task.name!r} already",
                where=where,
                way_out="give the new task another name",
            )
    return recipe


def _build(keys: Mapping[str, Any], raw: Mapping[str, Any], folder: Path, where: object) -> Recipe:
    for key in NOT_HERE:
        if key in raw:
            raise InputError(
                f"the key {key!r} has no effect when tasks are added",
                where=where,
                way_out="take it out: what the run was made with counts",
            )
    return build_recipe({**keys, "method": "add", "output": str(folder)}, {"add": Addition}, where)


def _reopen(
    folder: Path, state: State, recipe: Recipe, home: Path | None, progress: Progress | None
) -> Run:
    for task in state.tasks:
        if task.head is not None:
            raise InputError(
                f"its task {task.name!r} has a head, and nothing can be added to such a run",
                where=folder,
                way_out="tune all tasks together with 'onsa tune'",
            )
    encoder = load_encoder(recipe, state.model_folder, home or state.recipes[0][0])
    run = Run(folder, progress)
    run.recipe = recipe
    run.companions = state.model_folder
    run.base = state.base
    run.encoder = encoder
    return run


def _add(
    run: Run,
    state: State,
    settings: Addition,
    home: Path,
    facts: dict[str, Any],
    command: str,
) -> Run:
    require_trainable(run.recipe.tasks)
    new = load_tasks(run.recipe.tasks, home, run.recipe.seed)
    for task in new:
        if task.head is not None:
            raise InputError(
                "a task with a head cannot be added to a run",
                where=f"task {task.name}",
                way_out="write 'by: likelihood', or tune all tasks together with 'onsa tune'",
            )
    positions = position_count(state.model_folder, run.recipe.trust_remote_code)
    check_rows([*new, *state.tasks], run.encoder, positions)
    replayed = _replayed(run, state, settings)
    # The rows that earlier tasks are scored on must not come back as training rows.
    for note in (
        *task_notes(new),
        *overlap_notes([*state.tasks, *new, *replayed], run.recipe.overlap_share),
        *length_notes(new, run.encoder),
    ):
        run.warn(note)
    name = f"add/{state.additions + 1}"
    cores = state.cores
    if settings.core_share or not cores:
        cores = {"earlier": _core(run, f"{name}/earlier", state.base, state.weights, settings)}
    held = _held(run, cores, settings)
    run.progress.expect(_tokens_to_train(run, settings, new, replayed))
    run.path = "held"
    trained = run_training(
        run, f"{name}/held", start=state.weights, tasks=[*new, *replayed], hold=held
    )
    ends = {"before": state.weights, "held": trained["weights"]}
    if settings.compare:
        run.path = "plain sequence"
        plain = run_training(run, f"{name}/plain", start=state.weights, tasks=new)
        ends["plain sequence"] = plain["weights"]
    run.tasks = [*state.tasks, *new]
    scores = {
        label: run_scoring(
            run, f"score/{name}/{label.split()[0]}", weights=weights, tasks=run.tasks
        )
        for label, weights in ends.items()
    }
    label = " + ".join(task.name for task in new)
    core = _core(run, f"{name}/core", state.weights, trained["weights"], settings)
    state = _next(run, state, home, trained["weights"], {**(state.cores or cores), label: core})
    export(run, trained["weights"])
    facts = with_addition(facts, run, new, scores, held, settings.replay, command)
    save_state(run, state)
    write_report(run.folder, facts)
    return run


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
        return random_entries(together.shapes, together.count, run.recipe.seed)
    return together


def _replayed(run: Run, state: State, settings: Addition) -> list[Task]:
    """A share of the earlier tasks' training rows, read again from where the run had them."""
    if not settings.replay:
        return []
    names = {task.name for task in state.tasks}
    try:
        earlier = [
            task
            for home, recipe in state.recipes
            for task in load_tasks(_only(recipe, names).tasks, home, recipe.seed)
        ]
    except InputError as fault:
        raise InputError(
            f"replay needs the earlier tasks' rows: {fault.what}",
            where=fault.where,
            way_out="bring them back, or leave replay out",
        ) from None
    return [sample_rows(task, settings.replay, run.recipe.seed) for task in earlier]


def _only(recipe: Recipe, names: set[str]) -> Recipe:
    """The recipe without the tasks that were not trained: an adopted model came with none."""
    return recipe.model_copy(update={"tasks": tuple(t for t in recipe.tasks if t.name in names)})


def _adopt(
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
    _build({**raw, "model": base}, raw, folder, "added recipe")  # refuses what is wrong with it
    claim_folder(folder, {"model": base, "tasks": [str(tuned_folder.resolve())]})
    if (folder / FILE).is_file():
        return folder
    run = Run(folder, progress)
    try:
        own = {key: raw[key] for key in KEPT if key in raw}
        run.recipe = _build(
            {**own, "model": base, "tasks": [{"name": "unknown"}]}, {}, folder, model
        )
        run.companions = companions
        run.base = find_base(run, companions)
        tuned = find_base(run, tuned_folder)
        require_same_tensors(run.base, tuned)
        title = f"{model.name}, a tuned model, and what was added to it"
        write_report(folder, origin(run, title, ""))
        save_state(run, State([(home, run.recipe)], companions, run.base, tuned, [], {}))
    finally:
        run.release()
    return folder
