"""`onsa eval`: models as they are, scored on a recipe's tasks; nothing is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onsa.adapter import Adapter
from onsa.commands.given import Given, open_given
from onsa.commands.labels import labels_for
from onsa.errors import InputError
from onsa.evaluation.scoring import run_scoring
from onsa.figures.evaluation import evaluated
from onsa.figures.provenance import origin
from onsa.figures.rows import write_rows
from onsa.files import write_json, write_text
from onsa.methods import method_settings
from onsa.models.classifier import Classifier
from onsa.prepare.notes import task_notes
from onsa.prepare.tasks import load_tasks, probe_tasks
from onsa.progress import Progress
from onsa.recipe.reading import build_recipe, read_raw
from onsa.recipe.schema import Recipe
from onsa.report.pages.evaluation import render_evaluation
from onsa.run import Run, claim_folder
from onsa.tasks import Task
from onsa.weights import Weights

ENDINGS = (".yaml", ".yml")
Scores = dict[str, dict[str, Any]]  # by task: scores and replies


def evaluate(
    models: Sequence[str],
    path: Path,
    overrides: list[str],
    *,
    rows: int | None = None,
    output: Path | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    """Score the models on the recipe's tasks; the folder with `eval.json` and `eval.html`.

    Of the recipe only what scoring needs counts: its tasks, and keys such as `seed`, `max_length`
    and `chat_template`. The last model is held against each of the others.

    Args:
        rows: so many evaluation rows of each task, else all of them.
        output: the folder, else the recipe's own with `-eval` behind it.

    Raises:
        InputError: something that was given is wrong, or a model fits none of the tasks.
    """
    raw = read_raw(path, overrides)
    folder = output or path.resolve().parent / f"{raw.get('output') or path.stem}-eval"
    recipe = _recipe(raw, models, path)
    home = path.resolve().parent
    tasks, untrained = _tasks(recipe, home, rows)
    labels = labels_for(models)
    every = [*tasks, *untrained]
    given = [
        open_given(label, named, every, recipe, home)
        for label, named in zip(labels, models, strict=True)
    ]
    _stay_outside(folder, given)
    claim_folder(folder, {"kind": "evaluation", "tasks": [task.name for task in tasks]})
    run = _begin(folder, recipe, given[-1], progress)
    try:
        for note in [*task_notes(every), *(note for each in given for note in each.notes)]:
            run.warn(note)
        found = {each.label: _score(run, each) for each in given}
        _write(run, given, tasks, untrained, found, command)
    finally:
        run.release()
    return folder


def split_words(words: Sequence[str]) -> tuple[list[str], Path, list[str]]:
    """Models, the recipe and what is put over it, as they stand on the command line.

    Raises:
        InputError: a recipe or a model is missing, or a model is named twice.
    """
    at = next((n for n, word in enumerate(words) if word.endswith(ENDINGS)), None)
    if at is None:
        raise InputError(
            "no recipe", where="onsa eval", way_out="write: onsa eval MODEL recipe.yaml"
        )
    models = list(words[:at])
    if not models:
        raise InputError(
            "no model", where="onsa eval", way_out=f"write: onsa eval MODEL {words[at]}"
        )
    places = [Path(name).resolve() for name in models]
    if len(set(places)) < len(places):
        raise InputError("a model stands there twice", where="onsa eval", way_out="name it once")
    return models, Path(words[at]), list(words[at + 1 :])


def _recipe(raw: Mapping[str, Any], models: Sequence[str], path: Path) -> Recipe:
    keys = {"output": "eval", **raw, "model": " ".join(models)}
    recipe = build_recipe(keys, method_settings(), path)
    if recipe.prompts:
        raise InputError(
            "prompts has no effect here: models are asked as they are",
            where=path,
            way_out="take it out, or say prompts=false behind the recipe",
        )
    return recipe


def _tasks(recipe: Recipe, home: Path, rows: int | None) -> tuple[list[Task], list[Task]]:
    """Trained and other tasks, with their evaluation rows alone."""
    tasks = load_tasks(recipe.tasks, home, recipe.seed)
    untrained = load_tasks(recipe.untrained_tasks, home, recipe.seed)
    if recipe.probe:
        untrained += probe_tasks([*tasks, *untrained])
    few = [
        [dataclasses.replace(each, train=(), evaluation=each.evaluation[:rows]) for each in part]
        for part in (tasks, untrained)
    ]
    return few[0], few[1]


def _stay_outside(folder: Path, given: Sequence[Given]) -> None:
    for each in given:
        if folder.resolve().is_relative_to(each.folder.resolve()):
            raise InputError(
                "lies inside a model that is scored, and nothing is written there",
                where=folder,
                way_out="name another folder with --output",
            )


def _begin(folder: Path, recipe: Recipe, last: Given, progress: Progress | None) -> Run:
    run = Run(folder, progress)
    run.recipe = recipe
    run.companions = last.base
    run.base = Weights(last.base)
    run.encoder = last.parts[0].encoder
    return run


def _score(run: Run, given: Given) -> Scores:
    run.path = given.label
    found: Scores = {}
    for part in given.parts:
        run.encoder = part.encoder
        name = f"score/{''.join(c if c.isalnum() or c in '-_.' else '_' for c in given.label)}"
        found |= run_scoring(run, name, weights=part.tuned, tasks=part.tasks)
    return found


def _write(
    run: Run,
    given: Sequence[Given],
    tasks: Sequence[Task],
    untrained: Sequence[Task],
    found: Mapping[str, Scores],
    command: str,
) -> None:
    incomparable = _incomparable(given, [*tasks, *untrained])
    for name in incomparable:
        run.warn(f"task {name}: losses over other tokens, by other tokenizers, are not compared")
    scored = [task for task in tasks if any(task.name in each for each in found.values())]
    others = [task for task in untrained if any(task.name in each for each in found.values())]
    title = f"{' and '.join(found)} on {', '.join(task.name for task in scored or others)}"
    facts = {
        **origin(run, title, command),
        "model": {},
        "models": [_about(run, each) for each in given],
        **evaluated(scored, others, found, incomparable),
        "notes": run.notes,
        "steps": [
            {"name": r.name, "digest": r.digest, "seconds": r.seconds, "reused": r.reused}
            for r in run.history
        ],
    }
    write_rows(
        run.folder,
        [*scored, *others],
        {label: {run.recipe.seed: each} for label, each in found.items()},
    )
    write_json(run / "eval.json", facts)
    write_text(run / "eval.html", render_evaluation(facts))


def _incomparable(given: Sequence[Given], tasks: Sequence[Task]) -> list[str]:
    """Tasks scored by a loss that is over other tokens for one model than for another."""
    names = []
    for task in tasks:
        digests = {
            part.encoder.digest for each in given for part in each.parts if task in part.tasks
        }
        if task.mode == "loss" and len(digests) > 1:
            names.append(task.name)
    return names


def _about(run: Run, given: Given) -> dict[str, Any]:
    steps = [record for record in run.history if record.path == given.label]
    tuned = [p.tuned.tuned if isinstance(p.tuned, Classifier) else p.tuned for p in given.parts]
    weights = [each.base if isinstance(each, Adapter) else each for each in tuned]
    return {
        "label": given.label,
        "named": given.named,
        "kind": given.kind,
        "parameters": weights[0].entry_count,
        "stored_bytes": sum(
            each.stored_bytes
            if isinstance(each, Adapter)
            else sum(path.stat().st_size for path in each.folder.glob("*.safetensors"))
            for each in {each.folder: each for each in tuned}.values()
        ),
        "digest": tuned[0].digest,
        "tasks": given.task_names,
        "scoring_seconds": sum(step.facts.get("scoring_seconds", 0) for step in steps),
    }
