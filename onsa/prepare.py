"""From a recipe to a run that is ready: model found, tasks loaded, every row encoded once.

Everything that can be wrong with what a user gave is found here, before anything is trained.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from onsa.base_model import (
    Checked,
    check_model,
    check_vocabulary,
    find_model,
    position_count,
)
from onsa.choosing.choices import rates
from onsa.data.balance import task_weights
from onsa.data.batches import cut_facts, cut_notes
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.data.overlap import check_overlap
from onsa.data.reading import named
from onsa.data.token_cache import TokenCache
from onsa.errors import InputError
from onsa.files import cache_folder, digest_of_json
from onsa.heads import Head
from onsa.models import (
    PLAIN_TEMPLATE,
    import_base,
    import_with_heads,
    load_tokenizer,
    needs_import,
    read_config,
)
from onsa.progress import Progress
from onsa.recipe import Recipe, TaskBalance, TaskRecipe
from onsa.resources import versions
from onsa.run import Run, claim_folder
from onsa.tasks import Task, load_task
from onsa.training.adapters import AdapterSettings
from onsa.training.energy import require_codecarbon
from onsa.weights import Weights

Ways = Mapping[str, BaseModel]
"""The settings of a recipe's method and of its baselines, by their labels."""


ASKED = ("generate", "choose")  # modes in which another prompt gives other replies
PROBE_FOLDER = Path(__file__).parent / "data" / "probe"


def _probe(name: str, kind: str, **options: Any) -> TaskRecipe:
    rows = f"{name}.jsonl"
    return TaskRecipe(
        name=f"probe.{name}", kind=kind, options={"train": rows, "eval": rows, **options}
    )


PROBE = (
    _probe("knowledge", "choose"),
    _probe("knowledge_ja", "choose"),
    _probe("sums", "number", max_new_tokens=16),
    _probe("text", "loss"),
    _probe("text_ja", "loss"),
)


class Ready(NamedTuple):
    """What a recipe names, found, loaded and checked; nothing is written for it."""

    tasks: list[Task]
    untrained_tasks: list[Task]  # scored only
    model_folder: Path
    encoder: Encoder
    notes: list[str]  # what a person should know before anything is trained


def make_ready(recipe: Recipe, base_folder: Path, ways: Ways) -> Ready:
    """What `recipe` names, its relative paths taken from `base_folder`.

    Raises:
        InputError: whatever is wrong with it, but for the output's folder.
    """
    if recipe.energy:
        require_codecarbon()
    tasks = mixed(load_tasks(recipe.tasks, base_folder, recipe.seed), recipe.task_balance)
    untrained = [
        dataclasses.replace(task, train=())
        for task in load_tasks(recipe.untrained_tasks, base_folder, recipe.seed)
    ]
    if recipe.prompts and not any(task.mode in ASKED for task in tasks):
        raise InputError(
            "no task has replies that are asked for",
            where="prompts",
            way_out="take it out: heads and losses are not prompted",
        )
    if recipe.probe:
        untrained += probe_tasks([*tasks, *untrained])
    model_folder = find_model(recipe.model, base_folder)
    _require_text(base_folder / recipe.output, model_folder)
    both = [*tasks, *untrained]
    heads, generative = heads_for(tasks, untrained)
    encoder = load_encoder(recipe, model_folder, base_folder, speaks(both))
    model = check_model(Weights(model_folder), recipe.trust_remote_code, heads, generative)
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
    ]
    return Ready(tasks, untrained, model_folder, encoder, notes)


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


def _require_text(*folders: Path) -> None:
    """Names of folders may hold bytes that are no text, which safetensors cannot open."""
    for folder in folders:
        try:
            str(folder.resolve()).encode()
        except UnicodeEncodeError:
            raise InputError(
                "the path holds bytes that are no text", where=folder, way_out="rename the folder"
            ) from None


def identity(recipe: Recipe) -> dict[str, Any]:
    """What makes two recipes the same run: other settings may change, these may not."""
    return {"model": recipe.model, "tasks": [task.name for task in recipe.tasks]}


def load_tasks(tasks: Sequence[TaskRecipe], base_folder: Path, seed: int) -> list[Task]:
    loaded = [
        load_task(task.name, task.kind, task.options, base_folder, seed, task.weight)
        for task in tasks
    ]
    return [
        _only_last(task) if asked.train_on == "last_reply" else task
        for task, asked in zip(loaded, tasks, strict=True)
    ]


def _only_last(task: Task) -> Task:
    """The task with nothing trained but the last reply of each row."""
    train, evaluation = (
        tuple(dataclasses.replace(row, only_last=True) for row in rows)
        for rows in (task.train, task.evaluation)
    )
    return dataclasses.replace(task, train=train, evaluation=evaluation)


def mixed(tasks: list[Task], how: TaskBalance) -> list[Task]:
    """The tasks with the weights that `how` to balance them gives."""
    weights = task_weights(
        {task.name: len(task.train) for task in tasks},
        {task.name: task.weight for task in tasks},
        how,
    )
    return [dataclasses.replace(task, weight=weights[task.name]) for task in tasks]


def probe_tasks(others: Sequence[Task]) -> list[Task]:
    """What a language model can do in general: general knowledge, sums, and plain text.

    Raises:
        InputError: no language model is trained, or a task has the name of one of these.
    """
    if all(task.head is not None for task in others):
        raise InputError(
            "probe asks a language model, and all tasks have heads of their own",
            where="probe",
            way_out="take it out, or write 'by: likelihood' in the tasks",
        )
    names = {task.name.casefold() for task in others}
    if taken := next((each.name for each in PROBE if each.name in names), None):
        raise InputError("is a name of the probe's", where=f"task {taken}", way_out="rename it")
    return [dataclasses.replace(task, train=()) for task in load_tasks(PROBE, PROBE_FOLDER, seed=0)]


def heads_for(tasks: Sequence[Task], untrained: Sequence[Task]) -> tuple[dict[str, Head], bool]:
    """The heads that the tasks need, and whether there are replies to say as well.

    Raises:
        InputError: a task that is not trained needs a head.
    """
    for task in untrained:
        if task.head is not None:
            raise InputError(
                "its head would stay untrained",
                where=f"task {task.name}",
                way_out="move it to 'tasks', or write 'by: likelihood'",
            )
    heads = {task.name: task.head for task in tasks if task.head is not None}
    return heads, len(heads) < len(tasks) + len(untrained)


def speaks(tasks: Sequence[Task]) -> bool:
    """Whether rows are conversations: all but texts that a head reads."""
    return any(task.head is None or task.head.problem == "ranking" for task in tasks)


def load_encoder(
    recipe: Recipe,
    model_folder: Path,
    base_folder: Path,
    generative: bool = True,
    tokenizer_folder: Path | None = None,
) -> Encoder:
    """The model's tokenizer, or that of another folder, with the template the recipe asks for."""
    config = read_config(model_folder, recipe.trust_remote_code)
    template = _template(recipe.chat_template, base_folder)
    folder = tokenizer_folder or model_folder
    tokenizer = load_tokenizer(folder, template, recipe.trust_remote_code, generative)
    check_vocabulary(tokenizer, folder, config)
    encoder = Encoder(tokenizer, recipe.training.max_length, recipe.training.truncation)
    encoder.cache = token_cache(encoder)
    return encoder


def token_cache(encoder: Encoder) -> TokenCache | None:
    """Where encoded rows are kept: `tokens` in the user's cache, or `$ONSA_TOKEN_CACHE`.

    None where that is `off`, and for a template that asks what day it is.
    """
    given = os.environ.get("ONSA_TOKEN_CACHE", "")
    if given == "off" or "strftime_now" in (encoder.tokenizer.chat_template or ""):
        return None
    made_with = [encoder.digest, str(encoder.tokenizer.special_tokens_map), versions()]
    folder = Path(given) if given else cache_folder() / "tokens"
    return TokenCache(folder, digest_of_json(made_with))


def _template(chat_template: str | None, base_folder: Path) -> str | None:
    if chat_template is None:
        return None
    if chat_template == "plain":
        return PLAIN_TEMPLATE
    try:
        return (base_folder / chat_template).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as fault:
        raise InputError(
            f"the chat template cannot be read ({getattr(fault, 'strerror', None) or fault})",
            where=chat_template,
            way_out="give the path of a jinja file, or 'plain'",
        ) from None


def check_adapters(ways: Ways, recipe: Recipe, model_folder: Path, encoder: Encoder) -> int:
    """The most virtual tokens that one of the recipe's adapters puts before a row.

    Raises:
        InputError: an adapter does not fit the model, the training or the machine.
    """
    config = read_config(model_folder, recipe.trust_remote_code)
    adapters = [each for each in ways.values() if isinstance(each, AdapterSettings)]
    for settings in adapters:
        settings.require(config, recipe.training, encoder)
    return max((settings.virtual_tokens for settings in adapters), default=0)


def check_rows(
    tasks: list[Task], encoder: Encoder, positions: int | None = None, virtual_tokens: int = 0
) -> None:
    """Encode every row once: a row with nothing to train or to score on is an error here.

    So is one that is longer than the model's `positions`, alone or with the reply to be generated:
    some models break off there, hours later, others go on without a word and get worse.
    `virtual_tokens` come before each row.
    """
    room = Room(positions, virtual_tokens)
    for task in tasks:
        rows = (*task.train, *task.evaluation)
        try:
            encoded = encoder.encode_all(rows)
        except InputError as fault:
            place = f"task {task.name}, {fault.where}"
            raise InputError(fault.what, where=place, way_out=fault.way_out) from None
        for row, found in zip(rows, encoded, strict=True):
            room.require(len(found.ids), f"task {task.name}, {row.source}", room.way_out)
        for row in task.evaluation if task.max_new_tokens else ():
            room.require(
                len(encoder.encode_prompt(row)) + task.max_new_tokens,
                f"task {task.name}, {row.source}",
                "lower max_new_tokens, or take the row out",
            )


class Room(NamedTuple):
    """A model's positions, if it says how many, and the virtual tokens that take some of them."""

    positions: int | None
    virtual_tokens: int

    @property
    def way_out(self) -> str:
        """What makes a row fit that is cut at max_length."""
        left = (self.positions or 0) - self.virtual_tokens
        return f"write 'max_length: {left}'" if left >= 8 else "lower num_virtual_tokens"

    def require(self, tokens: int, place: str, way_out: str) -> None:
        if self.positions is None or tokens + self.virtual_tokens <= self.positions:
            return
        after = f" after {self.virtual_tokens} virtual ones" if self.virtual_tokens else ""
        raise InputError(
            f"{tokens} tokens{after}, and the model has {self.positions} positions",
            where=place,
            way_out=way_out,
        )


def task_notes(tasks: list[Task]) -> list[str]:
    """What the loading of each task left out."""
    return [f"task {task.name}: {note}" for task in tasks for note in task.notes]


def overlap_notes(tasks: list[Task], allowed_share: float) -> list[str]:
    """A sentence for each task whose evaluation rows are partly training rows of any task."""
    train: list[Example] = [row for task in tasks for row in task.train]
    notes = []
    for task in tasks:
        try:
            found = check_overlap(train, task.evaluation, allowed_share)
        except InputError as fault:
            raise InputError(fault.what, where=f"task {task.name}", way_out=fault.way_out) from None
        if found:
            notes.append(f"task {task.name}: {found}")
    return notes


def length_notes(tasks: list[Task], encoder: Encoder) -> list[str]:
    """What of the training rows the length limit cuts."""
    cut = {task.name: cut_facts(encoder.encode_all(task.train)) for task in tasks}
    return cut_notes(cut, encoder.max_length, encoder.truncation)


def unknown_notes(tasks: list[Task], encoder: Encoder) -> list[str]:
    """How much of the training rows the tokenizer has no tokens for: the model cannot read it."""
    unknown = encoder.tokenizer.unk_token_id
    if unknown is None or unknown in encoder.end_tokens:  # GPT-2's unknown token is its end token
        return []
    notes = []
    for task in tasks:
        rows = [row.ids for row in encoder.encode_all(task.train)]
        count, tokens = sum(ids.count(unknown) for ids in rows), sum(map(len, rows))
        if count:
            notes.append(
                f"task {task.name}: {count:,} of {tokens:,} tokens ({count / tokens:.1%}) are "
                f"{encoder.tokenizer.unk_token}: the tokenizer does not know what stands there"
            )
    return notes


def model_notes(model: Checked) -> list[str]:
    """What is special about it: what it leaves out of its folder's weights, its positions."""
    notes = []
    if model.left_out:
        count, names = len(model.left_out), named(model.left_out)
        notes.append(f"the model has no place for {count} tensors of its folder: {names}")
    if model.first_position:
        notes.append(
            "its positions begin behind that of the padding token, and the generate of "
            "transformers begins at 0: elsewhere than here, give it position_ids"
        )
    return notes


def check_rates(recipe: Recipe, model: Checked) -> None:
    """Refuse a learning rate of its own for parameters that the model does not have."""
    own = [recipe.with_training(baseline.training).training for baseline in recipe.baselines]
    for training in (recipe.training, *own):
        rates(model.shapes, training)


def check_effects(recipe: Recipe, tasks: list[Task]) -> None:
    """Refuse training keys that are of replies where all that trains is heads."""
    heads = [task.head for task in tasks]
    smooth = {None, "single_label_classification"}
    useless = {
        "packing": all(heads),
        "label_smoothing_factor": not any((head and head.problem) in smooth for head in heads),
    }
    for key, is_useless in useless.items():
        if is_useless and recipe.training.differs(key):
            raise InputError(
                f"{key} has no effect on the heads of these tasks", where=key, way_out="take it out"
            )


def check_metric(recipe: Recipe, tasks: list[Task]) -> None:
    """Refuse to compare losses with shares where the best state is looked for."""
    for changes in ({}, *(baseline.training for baseline in recipe.baselines)):
        training = recipe.with_training(changes).training
        over_all = training.metric_for_best_model in ("average", "worst_task")
        if training.eval_steps and over_all and len({t.higher_is_better for t in tasks}) > 1:
            raise InputError(
                f"'{training.metric_for_best_model}' would mix losses with shares of right answers",
                where="metric_for_best_model",
                way_out=f"name one task: {', '.join(task.name for task in tasks)}",
            )


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
