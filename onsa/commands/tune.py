"""`onsa tune`: a recipe in, a tuned model and its report out."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from onsa.adapter import BASE_FILE, CONFIG_FILE, WEIGHTS_FILE, Adapter, Tuned
from onsa.commands.asking import LABEL, ask_better
from onsa.data.budget import tokens_for_replies, tokens_of_an_epoch
from onsa.data.encoding import Encoder
from onsa.evaluation.scoring import run_scoring
from onsa.figures.rows import write_rows
from onsa.figures.stages import ends
from onsa.figures.tuning import collect
from onsa.files import publish_folder, read_json, write_json
from onsa.methods import all_methods, chosen_settings, method_settings
from onsa.models.carried import named_head
from onsa.models.head_names import own_modules
from onsa.models.heads import (
    SINGLE_KEY,
    classifier_class,
    heads_of,
    is_generative,
    language_model_config,
    plain_names,
    read_heads,
    single_config,
    write_single_adapter,
)
from onsa.models.loading import load_model, read_config
from onsa.models.saving import copy_companions
from onsa.prepare.checks import Ways
from onsa.prepare.ready import open_run
from onsa.progress import Progress
from onsa.recipe.reading import build_recipe, read_raw
from onsa.recipe.schema import Recipe
from onsa.report.write import write_report
from onsa.run import Run, Stage
from onsa.state import State, save_state
from onsa.tasks import Task
from onsa.weights import Weights, write_weights

Result = Tuned | dict[str, Tuned]
LANGUAGE_MODEL = "language_model"  # beside the classifiers


def tune(*, progress: Progress | None = None, **recipe: Any) -> Run:
    """Tune a model by the keys of a recipe: `tune(model=..., tasks=[...], method="cpi_ft", ...)`.

    Relative paths are taken from the current folder. Returns the finished run: `run/"model"` is a
    plain Hugging Face folder, `run/"report.html"` shows what each task gained and lost.

    Raises:
        InputError: something in the recipe, the data or the model is wrong; nothing was changed.
    """
    return carry_out(
        build_recipe(recipe, method_settings()), Path.cwd(), progress, "onsa.tune(...)"
    )


def read_recipe(path: Path, overrides: list[str]) -> Recipe:
    """The recipe in a YAML file with `key=value` overrides, validated."""
    return build_recipe(read_raw(path, overrides), method_settings(), path)


def carry_out(
    recipe: Recipe, base_folder: Path, progress: Progress | None = None, command: str = ""
) -> Run:
    """Tune, compare, score, export, report."""
    run = open_run(recipe, base_folder, ways_of(recipe), progress)
    try:
        return _carry_out(run, base_folder, command)
    finally:
        run.release()


def ways_of(recipe: Recipe) -> Ways:
    """The settings of the recipe's method and of its baselines."""
    baselines = {
        each.label: chosen_settings(each.method, each.settings) for each in recipe.baselines
    }
    return {**baselines, recipe.method: chosen_settings(recipe.method, recipe.settings)}


def tokens_to_train(recipe: Recipe, tasks: Sequence[Task], encoder: Encoder) -> int | None:
    """Tokens, prompts with them, that all trainings of a recipe will see, baselines included.

    None where `max_steps` sets each training's length: how many there will be is not known.
    """
    if recipe.training.max_steps > 0:
        return None
    method = all_methods()[recipe.method]
    settings = method.settings(**recipe.settings)
    given = getattr(settings, "trained_tokens", None)
    if given is not None:
        each = tokens_for_replies(given, tasks, encoder)
    else:
        passes = method.epochs(settings, recipe.training.num_train_epochs)
        each = round(passes * tokens_of_an_epoch(tasks, encoder))
    return (1 + len(recipe.baselines)) * each


def _carry_out(run: Run, home: Path, command: str) -> Run:
    recipe = run.recipe
    if recipe.prompts:
        ask_better(run)
    run.progress.expect(tokens_to_train(recipe, run.tasks, run.encoder))
    result = run_method(run, recipe.method, recipe.settings)
    cores = run.cores  # a baseline may find others
    budget = run.trained_tokens(run.path)
    for baseline in recipe.baselines:
        run.path, run.recipe = baseline.label, recipe.with_training(baseline.training)
        run_method(run, baseline.method, {"trained_tokens": budget, **baseline.settings})
    run.path, run.recipe = recipe.method, recipe
    scores = score_stages(run)
    export(run, result)
    if isinstance(result, Weights):
        tasks = [dataclasses.replace(task, train=()) for task in run.tasks]
        start = run.starts.get(run.path, run.base)
        save_state(run, State([(home, recipe)], run.companions, start, result, tasks, cores))
    untrained = score_untrained(run)
    found = {
        label: {recipe.seed: {**by_task, **untrained.get(label, {})}}
        for label, by_task in ends(run, scores).items()
    }
    write_rows(run.folder, [*run.tasks, *run.untrained_tasks], found)
    write_report(run.folder, collect(run, scores, untrained, command))
    return run


def run_method(run: Run, name: str, settings: Mapping[str, Any]) -> Result:
    method = all_methods()[name]
    chosen = chosen_settings(name, settings)
    result: Result = method(run, chosen)
    if isinstance(result, dict):
        run.specialists.add(run.path)
    if run.path == run.recipe.method:
        run.about_method = {
            "name": name,
            "summary": method.summary,
            "paper": method.paper,
            "settings": chosen.model_dump(mode="json"),
        }
    return result


def score_stages(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """Scores by (path, stage): all evaluation rows for the base and the end of each path, the
    first `stage_rows` for what lies between."""
    scores = {("base", "base"): _score(run, Stage("base", "base", run.base), rows=None)}
    ends = {stage.path: stage for stage in run.stages}  # the last of each path
    for stage in run.stages:
        whole = stage is ends[stage.path] or stage.path in run.specialists
        scores[stage.path, stage.label] = _score(
            run, stage, None if whole else run.recipe.stage_rows
        )
    return scores


def end_scores(run: Run) -> dict[str, dict[str, Any]]:
    """Scores by task at the end of the run's own way; of specialists, each task's own."""
    stages = [stage for stage in run.stages if stage.path == run.path]
    if run.path not in run.specialists:
        return _score(run, stages[-1], rows=None)
    found: dict[str, dict[str, Any]] = {}
    for task, stage in zip(run.tasks, stages, strict=True):
        found |= _score(run, dataclasses.replace(stage, tasks=[task]), rows=None)
    return found


def score_untrained(run: Run) -> dict[str, dict[str, Any]]:
    """Scores on the tasks that were not trained, of the base and of each way's one model."""
    if not run.untrained_tasks:
        return {}
    left_out = {*run.specialists, LABEL}  # several models, and the base itself
    ends = {stage.path: stage.weights for stage in run.stages if stage.path not in left_out}
    return {
        label: run_scoring(run, "score/untrained", weights=weights, tasks=run.untrained_tasks)
        for label, weights in {"base": run.base, **ends}.items()
    }


def _score(run: Run, stage: Stage, rows: int | None) -> dict[str, Any]:
    name = f"score/{_plain(stage.path)}/{_plain(stage.label)}"
    tasks = stage.tasks or run.tasks
    return run_scoring(run, name, weights=stage.weights, tasks=tasks, rows=rows)


def _plain(label: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in label)


def export(run: Run, result: Result) -> None:
    """Write the result as a plain Hugging Face folder, `model`; as `model/<task>` each, where there
    are several, of specialists or of heads."""
    beside = run / ".model.writing"
    shutil.rmtree(beside, ignore_errors=True)
    headed = [task for task in run.tasks if task.head is not None]
    if isinstance(result, dict):
        for name, weights in result.items():
            own = [task for task in headed if task.name == name]
            _write_model(run, weights, beside / name, own[0].name if own else None)
    elif headed:
        _write_each(run, result, beside)
    else:
        _write_model(run, result, beside)
    publish_folder(beside, run / "model")


def _write_each(run: Run, result: Tuned, folder: Path) -> None:
    """The language model and a classifier for every head; a single one is the folder itself."""
    heads = [task.name for task in run.tasks if task.head is not None]
    if heads == [task.name for task in run.tasks] and len(heads) == 1:
        _write_model(run, result, folder, heads[0])
        return
    for name in heads:
        _write_model(run, result, folder / name, name)
    if is_generative(read_config(run.base.folder)):
        _write_model(run, result, folder / LANGUAGE_MODEL)


def _write_model(run: Run, tuned: Tuned, folder: Path, head: str | None = None) -> None:
    """Write the model, with the head of one task alone where it is named."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(tuned, Adapter):
        _write_adapter(run, tuned, folder, head)
    elif read_heads(tuned.folder):
        _write_single(run, tuned, folder, head)
    else:
        _write_weights(run, tuned, folder)
    run.encoder.tokenizer.save_pretrained(folder)


def _write_adapter(run: Run, adapter: Adapter, folder: Path, head: str | None) -> None:
    """Its files; the base is named as the recipe names it, a folder by its whole path."""
    config = read_json(adapter.folder / CONFIG_FILE)
    carrier = read_config(adapter.base.folder)
    if heads_of(carrier):
        config |= {"task_type": "CAUSAL_LM" if head is None else "SEQ_CLS"}
        config["modules_to_save"] = own_modules(config["modules_to_save"], head)
    from_hub = run.companions.parent.name == "snapshots"  # the hub's own cache
    named = run.recipe.model if from_hub else str(run.companions.resolve())
    config["base_model_name_or_path"] = named
    if config.get("tokenizer_name_or_path"):  # what read the text that a soft prompt started from
        config["tokenizer_name_or_path"] = named
    write_json(folder / CONFIG_FILE, config)
    if heads_of(carrier):
        write_single_adapter(adapter.folder / WEIGHTS_FILE, folder / WEIGHTS_FILE, carrier, head)
    else:
        shutil.copyfile(adapter.folder / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    if (adapter.folder / BASE_FILE).is_file():
        shutil.copyfile(adapter.folder / BASE_FILE, folder / BASE_FILE)


def _write_single(run: Run, weights: Weights, folder: Path, head: str | None) -> None:
    """The backbone with one head as transformers' own class names it, or the language model."""
    config = read_config(weights.folder)
    names = plain_names(weights.names, config, head)
    if head is None:
        single = language_model_config(config)
    else:
        single = single_config(config, heads_of(config)[head])
        setattr(single, SINGLE_KEY, named_head(head, heads_of(config)[head]))
        single.architectures = [classifier_class(config).__name__]
    stream_as(weights, folder, getattr(torch, run.recipe.output_dtype), names)
    single.save_pretrained(folder)


def _write_weights(run: Run, weights: Weights, folder: Path) -> None:
    dtype = getattr(torch, run.recipe.output_dtype)
    if set(weights.names) == set(Weights(run.companions).names):
        stream_as(weights, folder, dtype)
    else:  # the architecture's files name tensors otherwise than its parameters
        load_model(weights, dtype, run.recipe.trust_remote_code).save_pretrained(folder)
    copy_companions(run.companions, folder)


def stream_as(
    weights: Weights, folder: Path, dtype: torch.dtype, names: Mapping[str, str] | None = None
) -> None:
    """Write the weights with floating-point tensors in `dtype`, one tensor at a time.

    `names` are those to write, each with the name that `weights` has for it.
    """
    names = names or {name: name for name in weights.names}
    layout = {
        name: (dtype if own in weights.float_shapes else weights.dtypes[own], weights.shapes[own])
        for name, own in names.items()
    }
    write_weights(folder, layout, lambda name: weights[names[name]].to(layout[name][0]))
