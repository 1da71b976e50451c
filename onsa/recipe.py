"""The recipe: one frozen, validated description of a run.

A recipe is flat: the run's own keys, the training keys of transformers under their own names, and
the settings of the chosen method stand side by side. Every key must have an effect: an unknown one
is refused with «did you mean», one that belongs to another method is refused by that method's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from onsa.errors import InputError, did_you_mean
from onsa.plain_yaml import load_yaml
from onsa.settings import Settings, validated

MAX_RECIPE_BYTES = 1_000_000
NAME = re.compile(r"\w[\w.-]{0,59}")

Pick = Literal["random", "balanced", "nearest"]


class TaskRecipe(Settings):
    """One task: its name, the kind that scores it, its weight, and the keys of that kind."""

    name: str
    kind: str = "generate"
    weight: float = Field(
        1.0, gt=0, le=1000, description="how often its rows are drawn in mixed training"
    )
    train_on: Literal["every_reply", "last_reply"] = Field(
        "every_reply", description="what of a conversation is trained"
    )
    options: dict[str, Any] = Field({})

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("must be letters, digits, '-', '_' or '.' (at most 60, no '/')")
        return name


class Prompt(Settings):
    """A way of asking: what stands before a question, and before that."""

    system: str = Field("", description="a role, said before the rows' own system messages")
    instruction: str = Field("", description="what to do, said before each question")
    shots: int = Field(0, ge=0, le=100, description="examples from the training rows")
    pick: Pick = Field("random", description="the examples: random, balanced by reply, or nearest")

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Prompt:
        if self.differs("pick") and not self.shots:
            raise InputError("pick has no effect without shots", way_out="write 'shots: 4'")
        return self

    @property
    def told(self) -> str:
        """What it is, in a few words."""
        examples = f"{self.shots} {self.pick} example{'s' if self.shots > 1 else ''}"
        parts = [
            f"role «{self.system}»" if self.system else "",
            f"instruction «{self.instruction}»" if self.instruction else "",
            examples if self.shots else "",
        ]
        return ", ".join(filter(None, parts)) or "plain"


# What is tried where the recipe says no more than that prompts shall be.
USUAL_PROMPTS = (
    Prompt(),
    Prompt(instruction="Give only the answer, without any explanation."),
    Prompt(shots=4, pick="balanced"),
    Prompt(shots=4, pick="nearest"),
)


class Training(Settings):
    """The training keys of transformers, under their own names."""

    learning_rate: float = Field(1e-4, gt=0)
    num_train_epochs: float = Field(2.0, gt=0, le=10_000)
    max_steps: int = Field(
        -1, ge=-1, le=10**8, description="optimizer steps per training; -1: by epochs"
    )
    per_device_train_batch_size: int = Field(8, ge=1)
    per_device_eval_batch_size: int = Field(32, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    lr_scheduler_type: Literal[
        "linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"
    ] = "linear"
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="learning rate of a block, as a share of the next one's above"
    )
    learning_rates: dict[str, float] = Field(
        {}, description="own rates of the parameters whose names fit a pattern"
    )
    weight_decay: float = Field(0.0, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    adam_epsilon: float = Field(1e-8, gt=0)
    max_grad_norm: float = Field(1.0, ge=0, description="0: no clipping")
    label_smoothing_factor: float = Field(
        0.0, ge=0, lt=1, description="share of each target spread evenly over all tokens"
    )
    neftune_noise_alpha: float | None = Field(
        None, gt=0, description="noise on the embeddings while training, 5 to 15 (NEFTune)"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="of the model's own dropouts, in place of its config's"
    )
    max_length: int = Field(1024, ge=8, description="tokens of an example; longer ones are cut")
    truncation: Literal["right", "left"] = Field(
        "right", description="the end at which longer examples are cut"
    )
    packing: bool = Field(
        False, description="fill each row of a batch up to max_length with several examples"
    )
    gradient_checkpointing: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the arithmetic; the weights themselves stay float32"
    )
    save_minutes: float = Field(10.0, ge=0, description="between checkpoints inside one training")
    save_steps: int | None = Field(None, ge=1, description="checkpoint every so many steps instead")
    eval_steps: float | None = Field(
        None, gt=0, description="score every so many steps, or share of all, and keep the best"
    )
    metric_for_best_model: str = Field(
        "average", description="what the best is by: average, worst_task, or a task's name"
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="stop after so many scorings without a better one"
    )
    early_stopping_threshold: float = Field(
        0.0, ge=0, description="a score is better from so much more on, for the patience"
    )

    @property
    def to_the_end(self) -> Training:
        """The same without scores on the way."""
        return self.model_copy(update={key: _default(key) for key in BEST_STATE_KEYS})

    @field_validator("eval_steps")
    @classmethod
    def _whole_or_a_share(cls, steps: float | None) -> float | None:
        if steps is not None and steps >= 1 and steps != int(steps):
            raise ValueError("must be a whole number of steps, or a share of them below 1")
        return steps

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Training:
        if self.max_steps == 0:
            raise InputError("max_steps 0 trains nothing", way_out="give a number above 0, or -1")
        for key, decider in EITHER_OR:
            if self.differs(key) and self.differs(decider):
                raise InputError(f"{key} has no effect with {decider}", way_out="keep one of them")
        for key, decider in ONLY_WITH:
            if self.differs(key) and not self.differs(decider):
                raise InputError(
                    f"{key} has no effect without {decider}", way_out=f"write '{decider}: ...' too"
                )
        if self.lr_scheduler_type == "constant" and self.differs("warmup_ratio"):
            raise InputError(
                "warmup_ratio has no effect with lr_scheduler_type constant",
                way_out="take it out, or write constant_with_warmup",
            )
        return self


def _default(key: str) -> Any:
    return Training.model_fields[key].get_default(call_default_factory=True)


# Two keys for one thing: the second decides, and the first would be ignored without a word.
EITHER_OR = (("num_train_epochs", "max_steps"), ("save_minutes", "save_steps"))
# A key, and the one without which it has no effect.
ONLY_WITH = (
    ("metric_for_best_model", "eval_steps"),
    ("early_stopping_patience", "eval_steps"),
    ("early_stopping_threshold", "early_stopping_patience"),
)
# Of ways that train once; several trainings, or none, have no one best state.
BEST_STATE_KEYS = frozenset({"eval_steps", *(key for key, _ in ONLY_WITH)})
LENGTHS = ("num_train_epochs", "max_steps", "trained_tokens")


class Baseline(Settings):
    """What the result is compared with: another method, for the same trained tokens."""

    method: str
    label: str
    settings: dict[str, Any] = Field({})
    training: dict[str, Any] = Field({}, description="training keys put over the recipe's")


class Temperature(Settings):
    """Tasks drawn in proportion to n^(1/T), n being a task's rows (arXiv:1910.10683)."""

    temperature: float = Field(ge=1, le=1000, description="1: by size; the higher, the more equal")
    limit: int | None = Field(
        None, ge=1, description="rows; a larger task counts as if it had so many"
    )


TaskBalance = Literal["size", "equal"] | Temperature


class Recipe(Settings):
    """A whole run."""

    model: str
    output: str
    tasks: Annotated[tuple[TaskRecipe, ...], Field(min_length=1)]
    method: str = "cpi_ft"
    settings: dict[str, Any] = Field({})
    training: Training = Training()
    task_balance: TaskBalance = Field(
        "size", description="tasks in an epoch: size, equal, or {temperature: T, limit: rows}"
    )
    baselines: tuple[Baseline, ...] = ()
    untrained_tasks: tuple[TaskRecipe, ...] = Field(
        (), description="scored, never trained: what the model could do before, and may forget"
    )
    prompts: bool | tuple[Prompt, ...] = Field(
        False, description="ways of asking the base; the best one on training rows is scored too"
    )
    prompt_rows: int = Field(
        32, ge=1, le=10_000, description="training rows of each task that the prompt is chosen on"
    )
    probe: bool = Field(
        False, description="score what a language model can do in general before and after"
    )
    seed: int = Field(0, ge=0, lt=2**32)
    stage_rows: int = Field(
        32, ge=1, description="evaluation rows scored after each stage; the ends get all rows"
    )
    overlap_share: float = Field(
        0.0, ge=0, le=1, description="share of evaluation rows that may also be training rows"
    )
    output_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    chat_template: str | None = Field(
        None, description="a jinja file, or 'plain'; else the tokenizer's own"
    )
    trust_remote_code: bool = False
    energy: bool = Field(False, description="measure it, with codecarbon (extra 'energy')")

    @field_validator("output")
    @classmethod
    def _a_place(cls, output: str) -> str:
        if not output.strip() or output.startswith("~"):
            raise InputError(
                f"{output!r} is no place for a run", way_out="write 'output: runs/name'"
            )
        return output

    @field_validator("task_balance", mode="before")
    @classmethod
    def _known_balance(cls, value: Any) -> Any:
        if isinstance(value, Temperature) or value in ("size", "equal"):
            return value
        if isinstance(value, dict):
            return validated(Temperature, value, "")
        raise InputError(
            f"{value!r} is no balance of tasks", way_out="write size, equal or {temperature: 2}"
        )

    @model_validator(mode="after")
    def _balance_between_tasks(self) -> Recipe:
        if self.differs("task_balance") and len(self.tasks) == 1:
            raise InputError("task_balance has no effect on one task", way_out="take it out")
        return self

    @model_validator(mode="after")
    def _one_name_each(self) -> Recipe:
        seen: set[str] = set()
        for task in (*self.tasks, *self.untrained_tasks):
            # casefold: 'Maths' and 'maths' would share a folder on some file systems.
            if task.name.casefold() in seen:
                raise InputError(
                    f"two tasks are named {task.name!r}", way_out="give each its own name"
                )
            seen.add(task.name.casefold())
        return self

    @model_validator(mode="after")
    def _known_metric(self) -> Recipe:
        names = ["average", "worst_task", *(task.name for task in self.tasks)]
        for changes in ({}, *(baseline.training for baseline in self.baselines)):
            given = self.with_training(changes).training.metric_for_best_model
            if given not in names:
                raise InputError(
                    f"metric_for_best_model {given!r} is no task of the recipe",
                    way_out=did_you_mean(given, names),
                )
        return self

    @model_validator(mode="after")
    def _prompts_have_rows(self) -> Recipe:
        if self.differs("prompt_rows") and not self.prompts:
            raise InputError(
                "prompt_rows has no effect without prompts", way_out="write 'prompts: true'"
            )
        return self

    @property
    def prompts_to_try(self) -> tuple[Prompt, ...]:
        """The ways of asking that are tried; as it is asked is always one of them."""
        if isinstance(self.prompts, bool):
            return USUAL_PROMPTS if self.prompts else ()
        return tuple(dict.fromkeys((Prompt(), *self.prompts))) if self.prompts else ()

    @field_validator("untrained_tasks")
    @classmethod
    def _no_weight(cls, tasks: tuple[TaskRecipe, ...]) -> tuple[TaskRecipe, ...]:
        for task in tasks:
            if task.differs("weight"):
                raise InputError(
                    f"a weight has no effect on {task.name!r}, which is not trained",
                    way_out="take it out, or move the task to 'tasks'",
                )
        return tasks

    def with_training(self, changes: Mapping[str, Any]) -> Recipe:
        """The same with some training keys put over its own."""
        training = self.training.model_copy(update=dict(changes))
        return self.model_copy(update={"training": training})


MethodSettings = Mapping[str, type[BaseModel]]
TASK_KEYS = frozenset(TaskRecipe.model_fields) - {"options"}
RUN_KEYS = frozenset(Recipe.model_fields) - {"settings", "training"}
TRAINING_KEYS = frozenset(Training.model_fields)
# Baselines train as many tokens as the result, on the same examples, and are scored alike.
COMMON_KEYS = frozenset(
    {
        "num_train_epochs",
        "max_steps",
        "max_length",
        "truncation",
        "precision",
        "per_device_eval_batch_size",
    }
)


def build_recipe(raw: Any, methods: MethodSettings, where: object = "recipe") -> Recipe:
    """The validated recipe of a flat mapping; `methods` gives each method's settings class."""
    raw = _mapping(raw, where)
    method = raw.get("method", Recipe.model_fields["method"].default)
    _known_method(method, methods, f"{where}: method")
    own = set(methods[method].model_fields)
    useful = RUN_KEYS | TRAINING_KEYS - _without_effect(methods[method]) | own
    _require_useful(raw, useful, method, methods, where)
    fields = {key: raw[key] for key in raw if key in RUN_KEYS}
    training = {key: raw[key] for key in raw if key in TRAINING_KEYS}
    fields["settings"] = {key: raw[key] for key in raw if key in own}
    fields["training"] = validated(Training, training, where)
    fields["tasks"] = _task_list(fields.get("tasks"), f"{where}: tasks")
    if untrained := fields.get("untrained_tasks"):
        fields["untrained_tasks"] = _task_list(untrained, f"{where}: untrained_tasks")
    if isinstance(prompts := fields.get("prompts"), (list, tuple)):
        fields["prompts"] = [
            _prompt(each, f"{where}: prompts[{n}]") for n, each in enumerate(prompts, start=1)
        ]
    fields["baselines"] = fields.get("baselines", [])
    tasks = [task["name"] for task in fields["tasks"]]
    fields["baselines"] = _baseline_list(fields["baselines"], methods, f"{where}: baselines", tasks)
    _own_labels([method, *(each["label"] for each in fields["baselines"])], f"{where}: baselines")
    validated(methods[method], fields["settings"], where, tasks)
    _one_length(raw, where)
    return validated(Recipe, fields, where)


def read_raw(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping in a YAML recipe with `key=value` overrides put over it.

    A recipe may only write below its own folder; another place is the user's to name.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECIPE_BYTES + 1)
    except OSError as fault:
        raise InputError(
            f"cannot be read ({fault.strerror})", where=path, way_out="check the path"
        ) from None
    if len(content) > MAX_RECIPE_BYTES:
        raise InputError("larger than 1 MB", where=path, way_out="a recipe is a page of YAML")
    raw = _mapping(load_yaml(content, path), path)
    if not any(override.startswith("output=") for override in overrides):
        _stay_inside(raw.get("output"), path)
    for override in overrides:
        _put_over(raw, override)
    _newest_decide(raw, {override.partition("=")[0] for override in overrides})
    return raw


def _one_length(raw: Mapping[str, Any], where: object) -> None:
    """Refuse a number of epochs or steps beside a budget of tokens, which decides."""
    for key in LENGTHS[:2]:
        if raw.get("trained_tokens") is not None and key in raw:
            raise InputError(
                f"{key} has no effect with trained_tokens",
                where=where,
                way_out="keep one of them",
            )


def _stay_inside(output: Any, path: Path) -> None:
    if not isinstance(output, str):
        return  # missing or not text: the recipe's validation says so
    home = path.resolve().parent
    if not (home / output).resolve().is_relative_to(home):
        raise InputError(
            f"'output: {output}' leaves the recipe's folder",
            where=path,
            way_out=f"write it below {home}, or say output={output} on the command line",
        )


def _newest_decide(raw: dict[str, Any], overridden: Set[str]) -> None:
    """Of keys for one thing, those on the command line count and the file's are forgotten."""
    for group in (*EITHER_OR, LENGTHS):
        if overridden & set(group):
            for key in set(group) - overridden:
                raw.pop(key, None)


def _mapping(raw: Any, where: object) -> dict[str, Any]:
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise InputError(
            "not a mapping of keys to values",
            where=where,
            way_out="write 'model: ...', 'tasks: ...', one key a line",
        )
    return dict(raw)


def _put_over(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(
            "not of the form key=value", where=override, way_out="for example learning_rate=2e-4"
        )
    *path, last = key.split(".")
    at: Any = raw
    for depth, word in enumerate(path):
        at = _inside(at, word, ".".join(path[: depth + 1]), override)
    if not isinstance(at, dict):
        raise InputError("cannot be set there", where=override, way_out="name a key of a mapping")
    at[last] = load_yaml(text, override)


def _inside(at: Any, word: str, path: str, override: str) -> Any:
    """The mapping under `word`; an item of a list is found by its name or label."""
    if isinstance(at, dict) and word in at:
        return at[word]
    if isinstance(at, list):
        for item in at:
            if isinstance(item, dict) and word in (item.get("name"), item.get("label")):
                return item
    raise InputError(f"there is no {path!r} in the recipe", where=override, way_out="check the key")


def _without_effect(settings: type[BaseModel]) -> frozenset[str]:
    """The training keys that a method has no use for, by its settings class."""
    return getattr(settings, "no_effect", frozenset())


def _what_has_use_for(key: str) -> str:
    if key in BEST_STATE_KEYS:
        return "trains all tasks at once, such as full or lora"
    return "trains weights of the model itself"


def _known_method(name: Any, methods: MethodSettings, where: str) -> None:
    if not isinstance(name, str) or name not in methods:
        raise InputError(
            f"unknown method {name!r}", where=where, way_out=did_you_mean(str(name), methods)
        )


def _require_useful(
    keys: Iterable[str], useful: Set[str], method: str, methods: MethodSettings, where: object
) -> None:
    """Refuse a key that has no effect: of another method, of the whole run, or of nothing."""
    for key in keys:
        if key in useful:
            continue
        owners = sorted(name for name, settings in methods.items() if key in settings.model_fields)
        if key in _without_effect(methods[method]):
            raise InputError(
                f"the key {key!r} has no effect with method {method!r}",
                where=where,
                way_out=f"remove it, or choose a method that {_what_has_use_for(key)}",
            )
        if owners:
            raise InputError(
                f"the key {key!r} has no effect with method {method!r}",
                where=where,
                way_out=f"remove it, or choose method {' or '.join(owners)}",
            )
        if key in RUN_KEYS | TRAINING_KEYS:
            raise InputError(
                f"the key {key!r} has no effect here",
                where=where,
                way_out="move it to the top of the recipe: it holds for the whole run",
            )
        raise InputError(f"unknown key {key!r}", where=where, way_out=did_you_mean(key, useful))


def _prompt(raw: Any, where: str) -> Prompt:
    """A way of asking; a text alone is an instruction."""
    if isinstance(raw, Prompt):
        return raw
    return validated(
        Prompt, {"instruction": raw} if isinstance(raw, str) else _mapping(raw, where), where
    )


def _task_list(raw: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(raw, dict):  # tasks: {maths: {...}} reads as well as a list
        raw = [_named_task(name, value, where) for name, value in raw.items()]
    if not isinstance(raw, (list, tuple)) or not raw:
        raise InputError("no tasks", where=where, way_out="list at least one, each with a name")
    return [_task(item, f"{where}[{number}]") for number, item in enumerate(raw, start=1)]


def _named_task(name: Any, raw: Any, where: str) -> dict[str, Any]:
    raw = _mapping(raw, f"{where}: {name}")
    if "name" in raw:
        raise InputError(
            "a second name", where=f"{where}: {name}", way_out="take 'name' out, or list the tasks"
        )
    return {"name": name, **raw}


def _task(raw: Any, where: str) -> dict[str, Any]:
    raw = _mapping(raw, where)
    if "name" not in raw:
        raise InputError("a task without a name", where=where, way_out="add 'name: ...'")
    own = {key: raw.pop(key) for key in TASK_KEYS if key in raw}
    return validated(TaskRecipe, {**own, "options": raw}, where).model_dump()


def _baseline_list(
    raw: Any, methods: MethodSettings, where: str, tasks: Sequence[str]
) -> list[dict[str, Any]]:
    if not isinstance(raw, (list, tuple)):
        raise InputError("not a list", where=where, way_out="write [full] or [] for none")
    return [_baseline(item, methods, f"{where}[{n}]", tasks) for n, item in enumerate(raw, start=1)]


def _own_labels(labels: Sequence[str], where: str) -> None:
    """Refuse two ways of tuning with one label: their steps and their scores would be mixed up."""
    seen = {"base"}
    for label in labels:
        if label.casefold() in seen:
            raise InputError(
                f"two are labelled {label!r}", where=where, way_out="give one another 'label: ...'"
            )
        seen.add(label.casefold())


def _baseline(
    raw: Any, methods: MethodSettings, where: str, tasks: Sequence[str]
) -> dict[str, Any]:
    raw = {"method": raw} if isinstance(raw, str) else _mapping(raw, where)
    method = raw.pop("method", None)
    _known_method(method, methods, where)
    label = raw.pop("label", method)
    own = methods[method].model_fields.keys()
    trained = (TRAINING_KEYS & raw.keys()) - COMMON_KEYS - _without_effect(methods[method])
    _require_useful(raw, own | trained, method, methods, where)
    given = {key: raw.pop(key) for key in trained}
    training = validated(Training, given, where).model_dump(include=set(trained))
    validated(methods[method], raw, where, tasks)
    if not isinstance(label, str) or not NAME.fullmatch(label):
        raise InputError(f"not a plain label: {label!r}", where=where, way_out="use letters")
    return {"method": method, "label": label, "settings": raw, "training": training}
