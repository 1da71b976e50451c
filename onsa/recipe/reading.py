"""From a page of YAML to a recipe, every key in its place or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from onsa.errors import InputError, did_you_mean
from onsa.plain_yaml import load_yaml
from onsa.recipe.prompt import Prompt
from onsa.recipe.schema import NAME, Recipe, TaskRecipe
from onsa.recipe.training import BEST_STATE_KEYS, EITHER_OR, LENGTHS, Training
from onsa.settings import validated

MAX_RECIPE_BYTES = 1_000_000

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
