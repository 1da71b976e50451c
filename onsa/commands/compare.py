"""`onsa compare`: several ways of tuning on the same tasks, splits and budget, over several seeds.

All of them work in one folder, so that ways which share a step share it on disk, a killed
comparison goes on where it was, and a way that fails does not stop the others.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from onsa.commands.tune import Result, end_scores, export, read_recipe, run_method
from onsa.commands.ways import BASE, Budget, Way, find_ways, tokens_for
from onsa.data.budget import tokens_for_replies
from onsa.errors import InputError
from onsa.evaluation.scoring import run_scoring
from onsa.figures.costs import spent, stored_bytes
from onsa.figures.provenance import origin, task_facts
from onsa.figures.ranking import Outcome, rank
from onsa.figures.rows import write_rows
from onsa.files import write_json, write_text
from onsa.models.base_model import position_count
from onsa.prepare.checks import check_adapters, check_choices, check_rows
from onsa.prepare.ready import Ready, begin_run, identity, make_ready
from onsa.progress import Progress
from onsa.recipe.schema import Recipe
from onsa.report.pages.ranking import render_ranking
from onsa.run import Run, claim_folder

MOST_SEEDS = 100


class Comparison(NamedTuple):
    """What is compared, on what, and where it is kept."""

    recipe: Recipe
    ready: Ready
    ways: list[Way]
    seeds: list[int]
    budget: Budget
    folder: Path
    progress: Progress


def compare(
    path: Path,
    overrides: list[str],
    *,
    methods: Sequence[str] = (),
    seeds: int = 1,
    budget: str | None = None,
    output: Path | None = None,
    take: str | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    """Compare the ways of tuning that `methods` name; the folder with report and best model.

    Args:
        methods: `base`, methods, or labels of the recipe's baselines; else all the recipe names.
        seeds: how many, from the recipe's own on; the data and their splits stay the same.
        budget: `tokens=N`, `flops=N` or `minutes=N` for every way; else the trained tokens of
            plain mixing by the recipe's length.
        output: the folder, else the recipe's own with `-compare` behind it.
        take: the label of the way whose model is written, else the best one's.

    Raises:
        InputError: what was given is wrong; or no way could be carried out.
    """
    recipe, home = read_recipe(path, overrides), path.resolve().parent
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"{seeds} seeds", where="--seeds", way_out=f"give 1 to {MOST_SEEDS}")
    ways = find_ways(recipe, methods)
    if take is not None and take not in [way.label for way in ways]:
        raise InputError(
            f"{take!r} is not compared", where="--take", way_out="name one of --methods"
        )
    read = Budget.read(budget) if budget else None
    folder = output or home / f"{recipe.output}-compare"
    ready = make_ready(recipe, home, {})  # what one way cannot do shall not stop the others
    claim_folder(folder, identity(recipe))
    progress = progress or Progress(quiet=True)
    if recipe.prompts:
        ready.notes.append(
            "prompts has no effect in a comparison: name prompt_only among the methods"
        )
    for note in ready.notes:
        progress.say(f"note: {note}")
    numbers = [recipe.seed + number for number in range(seeds)]
    budget_found = read or Budget.of_the_recipe(recipe, ready)
    compared = Comparison(recipe, ready, ways, numbers, budget_found, folder, progress)
    return _compare(compared, take, command)


def _compare(compared: Comparison, take: str | None, command: str) -> Path:
    tokens = _divide(compared)
    _expect(compared, tokens)
    outcomes = [
        _attempt(compared, way, seed, tokens[way.label])
        for way in compared.ways
        for seed in compared.seeds
    ]
    ready = compared.ready
    ranking = rank(outcomes, ready.tasks, ready.untrained_tasks, compared.budget.kind)
    if ranking["best"] is None:
        raise InputError(
            f"no method could be carried out ({outcomes[0].why})",
            where=compared.folder,
            way_out="mend that and start the same command again: finished steps are kept",
        )
    chosen = take or ranking["best"]
    failed = {row["label"] for row in ranking["rows"] if row["why"]}
    if chosen in failed:
        compared.progress.say(f"{chosen} failed, so no model is written")
    facts = {
        **_origin(compared, command),
        **ranking,
        "ways": {way.label: _about(compared, way) for way in compared.ways},
        "model_of": None if chosen in failed else _export(compared, chosen, tokens),
    }
    found: dict[str, dict[int, Any]] = {}
    for outcome in outcomes:
        if not outcome.why:
            found.setdefault(outcome.label, {})[outcome.seed] = outcome.found
    write_rows(compared.folder, [*ready.tasks, *ready.untrained_tasks], found)
    write_json(compared.folder / "compare.json", facts)
    write_text(compared.folder / "compare.html", render_ranking(facts))
    return compared.folder


def _divide(compared: Comparison) -> dict[str, int | InputError | None]:
    """What each way may train for the budget, or why it cannot; all are looked at before the first
    of them trains."""
    found: dict[str, int | InputError | None] = {}
    for way in compared.ways:
        try:
            _require_fit(compared, way)
        except InputError as fault:
            found[way.label] = _refused(compared, way, fault)
    for way in compared.ways:
        if way.label in found:
            continue
        try:
            found[way.label] = tokens_for(
                way, compared.budget, compared.recipe, compared.ready, compared.folder,
                compared.progress,
            )  # fmt: skip
        except InputError as fault:
            found[way.label] = _refused(compared, way, fault)
    return found


def _refused(compared: Comparison, way: Way, fault: InputError) -> InputError:
    compared.progress.say(f"{way.label} failed: {fault}")
    return fault


def _require_fit(compared: Comparison, way: Way) -> None:
    """Refuse a way that does not fit the model, the data or the machine, before any is trained."""
    if way.method is None:
        return
    ready = compared.ready
    own = way.recipe(compared.recipe, compared.recipe.seed, None)
    settings = {"": way.method.settings(**own.settings)}  # the refusal names the way already
    check_choices(settings, ready.model)
    virtual_tokens = check_adapters(settings, own, ready.model_folder, ready.encoder)
    if virtual_tokens:
        positions = position_count(ready.model_folder, own.trust_remote_code)
        check_rows([*ready.tasks, *ready.untrained_tasks], ready.encoder, positions, virtual_tokens)


def _expect(compared: Comparison, tokens: dict[str, int | InputError | None]) -> None:
    """How many tokens, prompts with them, all trainings will see."""
    ready = compared.ready
    whole = len(compared.seeds) * sum(each for each in tokens.values() if isinstance(each, int))
    compared.progress.expect(tokens_for_replies(whole, ready.tasks, ready.encoder))


def _attempt(compared: Comparison, way: Way, seed: int, tokens: int | InputError | None) -> Outcome:
    """One way with one seed: its scores and costs, or why there are none."""
    if isinstance(tokens, InputError):
        return Outcome(way.label, seed, why=" ".join(str(tokens).split()))
    number = compared.seeds.index(seed) + 1
    compared.progress.say(f"{way.label}, seed {seed} ({number} of {len(compared.seeds)})")
    try:
        run = _begin(compared, way, seed, tokens)
        try:
            return _outcome(run, way, _carry_out(run, way))
        finally:
            run.release()
    except Exception as fault:  # whatever it is, the other ways go on
        why = str(fault) if isinstance(fault, InputError) else f"{type(fault).__name__}: {fault}"
        if not isinstance(fault, InputError):
            write_text(compared.folder / f"{way.label}-{seed}.txt", traceback.format_exc())
        compared.progress.say(f"{way.label} failed: {why}")
        return Outcome(way.label, seed, why=" ".join(why.split()))


def _begin(compared: Comparison, way: Way, seed: int, tokens: int | None) -> Run:
    recipe = compared.recipe
    same = recipe.model_copy(update={"seed": seed})
    own = way.recipe(recipe, seed, tokens) if way.method else same
    run = begin_run(compared.ready._replace(notes=[]), own, compared.folder, compared.progress)
    run.path = way.label
    return run


def _carry_out(run: Run, way: Way) -> Result:
    if way.method is None:
        run.stage(BASE, run.base)
        return run.base
    return run_method(run, way.method.name, run.recipe.settings)


def _outcome(run: Run, way: Way, result: Result) -> Outcome:
    untrained = {}
    if run.untrained_tasks and not isinstance(result, dict):
        untrained = run_scoring(run, "score/untrained", weights=result, tasks=run.untrained_tasks)
    trained = end_scores(run)
    return Outcome(
        way.label,
        run.recipe.seed,
        found={**trained, **untrained},
        scores={name: found["scores"] for name, found in trained.items()},
        untrained={name: found["scores"] for name, found in untrained.items()},
        cost={
            **spent(run.history),
            "parameters": run.base.entry_count,
            "stored_bytes": stored_bytes(run, way.label),
        },
        notes=tuple(run.notes),
        models=len(result) if isinstance(result, dict) else 1,
    )


def _export(
    compared: Comparison, label: str, tokens: dict[str, int | InputError | None]
) -> str | None:
    """Write the model of a way with the first seed; None where there is nothing to write."""
    way = next(way for way in compared.ways if way.label == label)
    budget = tokens[label]
    if not way.trains or isinstance(budget, InputError):
        return None
    run = _begin(compared, way, compared.seeds[0], budget)
    try:
        export(run, _carry_out(run, way))
    finally:
        run.release()
    return label


def _origin(compared: Comparison, command: str) -> dict[str, Any]:
    run = _begin(compared, Way(BASE), compared.recipe.seed, None)
    run.release()
    tasks = ", ".join(task.name for task in compared.ready.tasks)
    return {
        **origin(run, f"Ways of tuning compared on {tasks}", command),
        "tasks": [task_facts(task) for task in compared.ready.tasks],
        "untrained_tasks": [task_facts(task) for task in compared.ready.untrained_tasks],
        "seeds": compared.seeds,
        "budget": dataclasses.asdict(compared.budget),
        "notes": compared.ready.notes,
    }


def _about(compared: Comparison, way: Way) -> dict[str, Any]:
    method = way.method
    if method is None:
        return {"method": BASE, "summary": "The base model, asked as it is.", "settings": {}}
    settings = method.settings(**way.settings).model_dump(mode="json")
    return {
        "method": method.name,
        "summary": method.summary,
        "paper": method.paper,
        "settings": {**settings, **way.training},
    }
