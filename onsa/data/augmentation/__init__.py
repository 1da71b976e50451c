"""New training rows out of old ones, by edits that leave the reply as it is.

Edits are found by looking: each is one file in this folder, `EDIT = Edit(...)`. A new row says what
it was made of (`extra["parent"]`) and how (its source: `train.jsonl:17 + synonyms`). It is never
the same as an evaluation row, nor as another training row.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, create_model, model_validator

from onsa.data.augmentation._dictionary import HOW_TO_GET_ONE, Dictionary, read_dictionary
from onsa.data.augmentation._edit import Edit, Job, Tools
from onsa.data.augmentation._pieces import is_segmented_roughly, words_in
from onsa.data.example import Example
from onsa.data.overlap import Key, example_keys, prompt_key, row_of
from onsa.errors import InputError
from onsa.settings import Settings

BETWEEN_TEXTS = "\n\n"  # the texts of a pair stand in one turn


@cache
def all_edits() -> dict[str, Edit]:
    """Every edit in this folder, by name; files that begin with `_` hold none."""
    names = [item.name for item in pkgutil.iter_modules(__path__) if item.name[0] != "_"]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(names)]
    return {module.EDIT.name: module.EDIT for module in modules}


class _Augment(Settings):
    copies: int = Field(1, ge=1, le=100, description="new rows for each, dealt out to the edits")
    dictionary: str | None = Field(
        None, description="synonyms: a table, a .json file, or WordNet's folder"
    )

    @property
    def edits(self) -> dict[str, Any]:
        """What is asked of each edit that is to be made, by its name."""
        found = {name: getattr(self, name) for name in all_edits()}
        return {name: setting for name, setting in found.items() if setting is not None}

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> _Augment:
        if not self.edits:
            raise InputError(
                "no edit to make new rows by", way_out=f"name one of {', '.join(all_edits())}"
            )
        readers = [name for name in self.edits if all_edits()[name].needs_dictionary]
        if readers and self.dictionary is None:
            raise InputError(
                f"{readers[0]} needs a dictionary",
                way_out=f"write 'dictionary: FILE': {HOW_TO_GET_ONE}",
            )
        if self.dictionary is not None and not readers:
            raise InputError(
                f"dictionary has no effect on {', '.join(self.edits)}", way_out="take it out"
            )
        return self


if TYPE_CHECKING:
    Augment = _Augment
else:
    Augment = create_model(
        "Augment",
        __base__=_Augment,
        **{
            edit.name: (edit.type | None, Field(None, description=edit.summary))
            for edit in all_edits().values()
        },
    )


class Augmented(NamedTuple):
    """New rows, and sentences for people on how many there are and what was left out."""

    rows: list[Example]
    notes: list[str]


class _Plan(NamedTuple):
    """A copy that is to be made: of which example, by which edit."""

    example: Example
    edit: str
    jobs: list[Job]  # one for each of its `texts`, or for each turn of the user


def augment(
    train: Sequence[Example],
    evaluation: Sequence[Example],
    settings: _Augment,
    base_folder: Path,
    seed: int,
) -> Augmented:
    """New rows of the training rows, by the edits in turn.

    Raises:
        InputError: rows that no edit may touch, or something an edit needs is missing.
    """
    plans = list(_plans(train, settings, seed))
    tools = Tools(base_folder, _dictionary(settings.dictionary, base_folder))
    sieve = _Sieve(train, evaluation)
    rows = [
        row
        for (plan, texts) in zip(plans, _rewritten(plans, settings.edits, tools), strict=True)
        if (row := sieve.let_through(plan, texts)) is not None
    ]
    notes = [_counted(rows, len(train), sieve.left_out)]
    if is_segmented_roughly(job.text for plan in plans for job in plan.jobs):
        notes.append(
            "Japanese words were told by their script alone, for want of fugashi: "
            "pip install 'onsa[ja]'"
        )
    return Augmented(rows, notes)


def _plans(train: Sequence[Example], settings: _Augment, seed: int) -> Iterator[_Plan]:
    """Each copy of each row, the edits dealt out in turn."""
    edits = list(settings.edits)
    number = 0
    for place, example in enumerate(train):
        texts = _texts(example)
        protected = words_in(example.reply)
        for copy in range(settings.copies):
            chance = random.Random(f"{seed}/augment/{place}/{copy}")
            jobs = [Job(text, chance, protected) for text in texts]
            yield _Plan(example, edits[number % len(edits)], jobs)
            number += 1


def _texts(example: Example) -> list[str]:
    """What of an example may be edited: its texts, else all that the user says."""
    if "choices" in example.extra:
        raise InputError(
            "augment would edit the choices with the question",
            where=example.source,
            way_out="take augment out of tasks of multiple choice",
        )
    turns = [turn["content"] for turn in example.prompt if turn["role"] == "user"]
    if "texts" not in example.extra:
        return turns
    assert turns == [BETWEEN_TEXTS.join(example.extra["texts"])], "texts are the user's one turn"
    return list(example.extra["texts"])


def _rewritten(
    plans: Sequence[_Plan], settings: Mapping[str, Any], tools: Tools
) -> list[list[str | None]]:
    """What becomes of the texts of each plan; each edit is asked once, for all of its texts."""
    made: dict[tuple[int, int], str | None] = {}
    for name, setting in settings.items():
        places = [
            (number, part)
            for number, plan in enumerate(plans)
            if plan.edit == name
            for part in range(len(plan.jobs))
        ]
        jobs = [plans[number].jobs[part] for number, part in places]
        made.update(zip(places, all_edits()[name].rewrite(jobs, setting, tools), strict=True))
    return [[made[number, part] for part in range(len(p.jobs))] for number, p in enumerate(plans)]


class _Sieve:
    """Lets new rows through that differ from all others, and counts those that do not."""

    def __init__(self, train: Sequence[Example], evaluation: Sequence[Example]) -> None:
        self.known = {prompt_key(example) for example in train}
        self.evaluated: set[Key] = {key for row in evaluation for key in example_keys(row)}
        self.left_out: Counter[str] = Counter()

    def let_through(self, plan: _Plan, texts: list[str | None]) -> Example | None:
        old = [job.text for job in plan.jobs]
        new = [text or before for text, before in zip(texts, old, strict=True)]
        if new == old or not all(text.strip() for text in new):
            self.left_out["with nothing to change"] += 1
            return None
        made = _with_texts(plan, new)
        if self.evaluated & set(example_keys(made)):
            self.left_out["the same as an evaluation row"] += 1
            return None
        if (key := prompt_key(made)) in self.known:
            self.left_out["the same as a training row"] += 1
            return None
        self.known.add(key)
        return made


def _with_texts(plan: _Plan, texts: list[str]) -> Example:
    """The row with its texts replaced, its reply as it was, and its parent named."""
    example = plan.example
    extra = {**example.extra, "parent": row_of(example)}
    if "texts" in extra:
        extra["texts"] = texts
        texts = [BETWEEN_TEXTS.join(texts)]
    left = iter(texts)
    before = tuple(
        {**turn, "content": next(left)} if turn["role"] == "user" else turn
        for turn in example.prompt
    )
    return dataclasses.replace(
        example,
        messages=(*before, example.messages[-1]),
        extra=extra,
        source=f"{example.source} + {plan.edit}",
    )


def _counted(rows: Sequence[Example], parents: int, left_out: Mapping[str, int]) -> str:
    edits = Counter(row.source.rpartition(" + ")[2] for row in rows)
    made = ", ".join(f"{name} {count}" for name, count in sorted(edits.items()))
    line = f"augment made {len(rows)} new rows of {parents}" + (f" ({made})" if made else "")
    if left_out:
        lost = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
        line += f"; left out: {lost}"
    return line


def _dictionary(path: str | None, base_folder: Path) -> Dictionary:
    return read_dictionary(path, base_folder) if path else lambda word: ()
