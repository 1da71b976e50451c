"""Questions made offline by reasoning-gym (arXiv:2505.24760), scored by its own verifiers."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from onsa.data.example import Example
from onsa.data.formats._rows import exchange
from onsa.data.overlap import prompt_key
from onsa.errors import InputError, did_you_mean
from onsa.extras import import_extra
from onsa.settings import Settings
from onsa.tasks import Kind, Rows

RowCount = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]

TRIES_PER_ROW = 4  # questions made for each that is wanted, before giving up on distinct ones
FEWEST_TRIES = 200
# Seen with 0.1.25: these draw from Python's global chance, whatever their seed, so no run with them
# could be repeated; those below go through Python sets, whose order is that of the hash seed.
UNSEEDED = {"codeio", "list_functions"}
HASHED = {
    "intermediate_integration",
    "isomorphic_strings",
    "knight_swap",
    "polynomial_multiplication",
    "ransom_note",
    "word_ladder",
}
# What replies may hold where a verifier gives them to a parser that runs code (sympy's parse_expr)
# or counts without end (Fraction('1e999999999')): plain arithmetic with small powers.
ARITHMETIC = re.compile(
    r"""(?:
    (?<![A-Za-z\d.]) \d{1,12} (?:\.\d{1,12})? (?![A-Za-z\d.])
    | (?<![A-Za-z\d]) (?:[A-Za-z] | sin | cos | tan | exp | log | sqrt) (?![A-Za-z\d])
    | \*\* \s* (?> \(-?\d{1,2}(?:/\d{1,2})?\) | -?\d{1,2} ) (?! [A-Za-z\d.] | \s*\*\* )
    | \* (?!\*) | [\s+\-/()]
    )++""",
    re.VERBOSE,
)
POWER_OF_BRACKETS = re.compile(r"\)\s*\*\*")
MOST_POWERS_OF_BRACKETS = 2  # powers of powers grow without end
MOST_ARITHMETIC = 300  # characters
RISKY_PARSERS = ("parse_expr(", "Fraction(")


class ReasoningGym(Settings):
    dataset: str = Field(description="a data set of reasoning-gym, such as family_relationships")
    config: dict[str, Any] = Field({}, description="the data set's own parameters")
    train_rows: RowCount = Field(400, description="questions to train on")
    eval_rows: RowCount = Field(100, description="other questions to score on")
    seed: int | None = Field(None, ge=0, description="of the questions; without it the run's seed")
    system: str | None = Field(None, description="system message of every question")
    max_new_tokens: RowCount = Field(64, description="longest reply that is generated, in tokens")


def load(settings: ReasoningGym, base_folder: Path, seed: int) -> Rows:
    """Distinct questions: the evaluation's first, so that more training rows leave it as it is.

    Raises:
        InputError: an unknown data set or parameter, or too few distinct questions.
    """
    if settings.seed is not None:
        seed = settings.seed
    wanted = settings.train_rows + settings.eval_rows
    tries = max(FEWEST_TRIES, TRIES_PER_ROW * wanted)
    dataset = _make(settings.dataset, settings.config, seed, tries)
    found: dict[tuple[str, ...], Example] = {}
    for example in _examples(dataset, settings, tries):
        found.setdefault(prompt_key(example), example)
        if len(found) == wanted:
            rows = list(found.values())
            return Rows(rows[settings.eval_rows :], rows[: settings.eval_rows])
    raise InputError(
        f"{tries} tries gave {len(found)} distinct questions with an answer that its own verifier "
        f"accepts; {wanted} are wanted",
        where=settings.dataset,
        way_out="ask for fewer rows, or widen the ranges in 'config'"
        if found
        else "choose another data set",
    )


def score(reply: str, example: Example, settings: ReasoningGym) -> float:
    """The library's verifier, whose replies may be partly right; from 0 to 1."""
    verifier = _verifier(settings.dataset, json.dumps(settings.config, sort_keys=True))
    return _verify(verifier, reply, example.extra["entry"])


def _examples(dataset: Any, settings: ReasoningGym, tries: int) -> Iterator[Example]:
    """Usable questions: with an answer that the verifier finds right after a way through JSON."""
    for number in range(tries):
        entry = dataset[number]
        question, answer = entry["question"], entry["answer"]
        if not isinstance(question, str) or not isinstance(answer, str) or not answer.strip():
            continue
        entry = json.loads(json.dumps(entry, default=str))
        if _verify(dataset, answer, entry) == 1.0:
            yield exchange(
                question,
                answer,
                f"{settings.dataset}:{number}",
                system=settings.system or "",
                extra={"entry": entry},
            )


def _verify(dataset: Any, reply: str, entry: dict[str, Any]) -> float:
    reply = reply.strip()
    if not _is_harmless(dataset, reply):
        return 0.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = float(dataset.score_answer(reply, entry))
    except Exception:  # verifiers raise whatever they like on a reply that they cannot read
        return 0.0
    return min(1.0, max(0.0, found))


def _is_harmless(dataset: Any, reply: str) -> bool:
    source = _source_of(type(dataset).score_answer)
    if not any(parser in source for parser in RISKY_PARSERS):
        return True
    powers = len(POWER_OF_BRACKETS.findall(reply))
    is_small = len(reply) <= MOST_ARITHMETIC and powers <= MOST_POWERS_OF_BRACKETS
    return is_small and ARITHMETIC.fullmatch(reply) is not None


@cache
def _source_of(function: Callable[..., Any]) -> str:
    return inspect.getsource(function)


@cache
def _verifier(dataset: str, config: str) -> Any:
    return _make(dataset, json.loads(config), seed=0, size=1)


def _make(name: str, config: dict[str, Any], seed: int, size: int) -> Any:
    """A data set of reasoning-gym.

    Raises:
        InputError: reasoning-gym is not installed, or does not know the name or a parameter, or
            refuses a value.
    """
    factory = import_extra("reasoning_gym.factory", "reasoning-gym", "demo")
    import_extra("reasoning_gym", "reasoning-gym", "demo")  # enters the data sets
    _check_names(factory.DATASETS, name, config)
    config = _with_enumerations(factory.DATASETS[name][1], config)
    try:
        dataset = factory.create_dataset(name, seed=seed, size=size, **config)
    except (AssertionError, TypeError, ValueError, KeyError, AttributeError) as fault:
        raise InputError(
            f"reasoning-gym refuses the config ({fault})", where=name, way_out="mend 'config'"
        ) from None
    if "eval(answer" in _source_of(type(dataset).score_answer):
        # The verifier runs the reply as Python; in its module `eval` now reads literals only.
        vars(sys.modules[type(dataset).__module__])["eval"] = ast.literal_eval
    return dataset


def _with_enumerations(parameters: type, config: dict[str, Any]) -> dict[str, Any]:
    """The config with the library's enumeration members in the place of their names in YAML."""
    defaults = parameters()
    return {key: _member(getattr(defaults, key), value, key) for key, value in config.items()}


def _member(default: Any, value: Any, key: str) -> Any:
    if isinstance(default, list) and default and isinstance(value, list):
        return [_member(default[0], item, key) for item in value]
    if not isinstance(default, enum.Enum):
        return value
    known = {str(member.value): member for member in type(default)}
    if str(value) not in known:
        raise InputError(
            f"unknown {key} {value!r}", where="config", way_out=did_you_mean(str(value), known)
        )
    return known[str(value)]


def _check_names(known: dict[str, Any], name: str, config: dict[str, Any]) -> None:
    if name not in known:
        raise InputError(
            f"reasoning-gym has no data set {name!r}",
            where="dataset",
            way_out=did_you_mean(name, known),
        )
    fields = {field.name for field in dataclasses.fields(known[name][1])} - {"seed", "size"}
    for key in config:
        if key not in fields:
            raise InputError(
                f"unknown parameter {key!r} of {name}",
                where="config",
                way_out=did_you_mean(key, fields),
            )
    if name in UNSEEDED:
        raise InputError(
            f"the questions of {name} are others each time",
            where="dataset",
            way_out="choose another data set",
        )
    if name in HASHED and os.environ.get("PYTHONHASHSEED", "random") == "random":
        raise InputError(
            f"the questions of {name} change with Python's hash seed",
            where="dataset",
            way_out="start with PYTHONHASHSEED=0 in the environment, or choose another data set",
        )


KIND = Kind(
    name="reasoning_gym",
    summary="Questions made by reasoning-gym, scored by its own verifiers.",
    settings=ReasoningGym,
    load=load,
    metric="verifier score",
    mode="generate",
    score=score,
)
