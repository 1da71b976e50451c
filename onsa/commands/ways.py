"""The ways of tuning that a comparison holds against each other, and what each may cost."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from onsa import __version__
from onsa.data.batches import trained_tokens
from onsa.errors import InputError, did_you_mean
from onsa.figures.costs import spent
from onsa.files import digest_of_json, read_json, write_json
from onsa.methods import Method, all_methods
from onsa.prepare.ready import Ready, begin_run
from onsa.progress import Progress
from onsa.recipe.schema import Recipe
from onsa.recipe.training import Training
from onsa.training.train import make_plan

BASE = "base"
PILOT_BATCHES = 24  # of the training that tells what a way costs for each token
Kind = Literal["tokens", "flops", "minutes"]


@dataclass(frozen=True)
class Way:
    """A way of tuning with its settings; the base itself has no method."""

    label: str
    method: Method | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)  # keys put over the recipe's

    @property
    def trains(self) -> bool:
        return self.method is not None and self.method.trains

    def recipe(self, recipe: Recipe, seed: int, tokens: int | None) -> Recipe:
        """The recipe of this way alone, for a seed and a number of trained tokens."""
        assert self.method is not None
        settings = dict(self.settings)
        if "trained_tokens" in self.method.settings.model_fields:
            settings["trained_tokens"] = tokens
        own = {"method": self.method.name, "settings": settings, "seed": seed, "baselines": ()}
        return recipe.model_copy(update=own).with_training(self.training)


def find_ways(recipe: Recipe, names: Sequence[str]) -> list[Way]:
    """The ways named: `base`, the recipe's method, a label of its baselines, or any method.

    A method that the recipe does not mention has its defaults, or its example's settings where it
    cannot do without. Without names: all that the recipe mentions.

    Raises:
        InputError: an unknown name, or one given twice.
    """
    known = {BASE: Way(BASE)} | _mentioned(recipe)
    methods = {
        name: Way(name, each, dict(each.example))
        for name, each in all_methods().items()
        if name not in known
    }
    for name in names:
        if name not in known | methods:
            raise InputError(
                f"there is no method {name!r}",
                where="--methods",
                way_out=did_you_mean(name, [*known, *methods]),
            )
        if list(names).count(name) > 1:
            raise InputError(
                f"{name!r} stands there twice",
                where="--methods",
                way_out="for other settings give it another label among the recipe's baselines",
            )
    return [(known | methods)[name] for name in names or known]


def _mentioned(recipe: Recipe) -> dict[str, Way]:
    methods = all_methods()
    own = Way(recipe.method, methods[recipe.method], recipe.settings)
    others = [
        Way(each.label, methods[each.method], each.settings, each.training)
        for each in recipe.baselines
    ]
    return {way.label: way for way in (own, *others)}


@dataclass(frozen=True)
class Budget:
    """What every way may spend: trained tokens, floating-point operations, or minutes."""

    kind: Kind
    amount: float

    @classmethod
    def read(cls, text: str) -> Budget:
        """From `tokens=200000`, `flops=1e15` or `minutes=30`."""
        kind, _, written = text.partition("=")
        way_out = "write tokens=200000, flops=1e15 or minutes=30"
        if kind not in get_args(Kind):
            raise InputError(f"{text!r} is no budget", where="--budget", way_out=way_out)
        try:
            amount = float(written.replace("_", "").replace(",", ""))
        except ValueError:
            amount = 0.0
        if not 1 <= amount * (60 if kind == "minutes" else 1) < 1e30:
            raise InputError(f"{written!r} is no amount", where="--budget", way_out=way_out)
        return cls(kind, amount)  # type: ignore[arg-type]

    @classmethod
    def of_the_recipe(cls, recipe: Recipe, ready: Ready) -> Budget:
        """The trained tokens that plain mixing sees by the recipe's own length."""
        given = recipe.settings.get("trained_tokens")
        return cls("tokens", given or _planned_tokens(recipe.training, ready, recipe.seed))


def _planned_tokens(training: Training, ready: Ready, seed: int) -> int:
    corpus = {task.name: ready.encoder.encode_all(task.train) for task in ready.tasks}
    return trained_tokens(make_plan(corpus, ready.tasks, training, seed), corpus)


def tokens_for(
    way: Way, budget: Budget, recipe: Recipe, ready: Ready, folder: Path, progress: Progress
) -> int | None:
    """The trained tokens that a way gets for the budget; None where nothing is trained.

    What a token costs in FLOPs or minutes is measured in a short training of the same kind, which
    is thrown away; minutes include what a way does beside training, but not the scoring.

    Raises:
        InputError: the budget is spent before anything is trained.
    """
    if not way.trains:
        return None
    if budget.kind == "tokens":
        return round(budget.amount)
    pilot = _pilot(way, recipe, ready, folder, progress)
    if budget.kind == "flops":
        tokens = budget.amount / pilot["training_flops"] * pilot["trained_tokens"]
    else:
        left = 60 * budget.amount - pilot["other_seconds"]
        tokens = left / pilot["training_seconds"] * pilot["trained_tokens"]
    if tokens < 1:
        raise InputError(
            f"{budget.kind}={budget.amount:g} is spent before anything is trained",
            where="--budget",
            way_out="give more, or leave this method out",
        )
    return round(tokens)


def _pilot(
    way: Way, recipe: Recipe, ready: Ready, folder: Path, progress: Progress
) -> dict[str, Any]:
    """What a short training of this way took; kept beside the comparison."""
    few = {"max_steps": PILOT_BATCHES, "gradient_accumulation_steps": 1}
    tokens = _planned_tokens(recipe.training.model_copy(update=few), ready, recipe.seed)
    short = way.recipe(recipe, recipe.seed, tokens)
    tasks = [task.digest for task in ready.tasks]
    digest = digest_of_json([__version__, short.model_dump(mode="json"), tasks])
    kept = folder / "pilots" / f"{way.label}.json"
    if kept.is_file() and (found := read_json(kept)).get("digest") == digest:
        return dict(found)
    progress.say(f"{way.label}: a short training, to see what it costs")
    beside = folder / "pilots" / f".{way.label}"
    shutil.rmtree(beside, ignore_errors=True)
    facts = {"digest": digest, **_measure(way, short, ready, beside, progress)}
    write_json(kept, facts)
    shutil.rmtree(beside)
    return facts


def _measure(
    way: Way, recipe: Recipe, ready: Ready, folder: Path, progress: Progress
) -> dict[str, Any]:
    assert way.method is not None
    run = begin_run(ready._replace(notes=[]), recipe, folder, Progress(quiet=True))
    try:
        way.method(run, way.method.settings(**recipe.settings))
    finally:
        run.release()
    took = spent(run.history)
    other = max(0.0, took["seconds"] - took["training_seconds"])
    return {**took, "other_seconds": round(other, 1)}
