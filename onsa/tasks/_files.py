"""Tasks out of data files: the settings and the loader that most kinds share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictInt, StrictStr, model_validator

from onsa.data.example import Example
from onsa.data.files._opened import Facts
from onsa.data.overlap import split, without_overlap
from onsa.data.places import named
from onsa.data.reading import Tools, Unicode, read_examples, sentences
from onsa.errors import InputError
from onsa.settings import Settings
from onsa.tasks import Rows

RowCount = Annotated[int, Field(ge=1, strict=True)]
Column = StrictStr | StrictInt

EVAL_SHARE = 0.1  # of the rows, where a task says nothing of its evaluation


class FileSettings(Settings):
    """Where the rows of a task come from."""

    train: str = Field(
        description="file, folder, glob, or a data set of the hub (org/name:config@split); '#500' "
        "after it takes the first 500 rows"
    )
    eval: str | None = Field(None, description="rows to score on; without it some of 'train' are")
    eval_share: float | None = Field(
        None, gt=0, lt=1, description=f"share of 'train' kept for scoring ({EVAL_SHARE})"
    )
    eval_rows: RowCount | None = Field(None, description="rows to score on, drawn by the seed")
    train_rows: RowCount | None = Field(None, description="rows to train on, drawn by the seed")
    columns: dict[str, Column | list[Column] | dict[Column, Column]] | None = Field(
        None,
        description="which columns are prompt, reply; text, label; prompt, choices, answer; "
        "prompt, chosen, rejected; also system, context, weight, group",
    )
    format: str | None = Field(None, description="shape of the rows, where looking is not enough")
    encoding: str | None = Field(
        None, description="of the files (cp932, euc_jp, ...), where it is not recognised"
    )
    unicode: Unicode | None = Field(
        None, description="form that all texts are brought into, full and half width made one"
    )
    tools: Tools = Field(
        "template", description="told the model by the chat template, or as text in the messages"
    )
    system: str | None = Field(
        None, description="system message of conversations that bring none of their own"
    )
    skip_empty: bool = Field(False, description="leave out rows without a prompt or reply")
    drop_overlap: bool = Field(
        False, description="leave out training rows that are evaluation rows too"
    )

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> FileSettings:
        if self.eval is not None and self.eval_share is not None:
            raise ValueError("eval_share has no effect with eval: take it out, or use eval_rows")
        if self.eval_share is not None and self.eval_rows is not None:
            raise ValueError("eval_share and eval_rows are two answers: keep one")
        if self.eval is None and self.drop_overlap:
            raise ValueError("drop_overlap has no effect without eval: a split has no overlap")
        if self.columns is not None and self.format is not None:
            raise ValueError("columns and format are two answers: keep one")
        return self


class GenerationSettings(FileSettings):
    """A task out of files whose replies are generated."""

    max_new_tokens: RowCount = Field(256, description="longest reply that is generated, in tokens")


def load_files(
    settings: Any,
    base_folder: Path,
    seed: int,
    *,
    feedback: bool = False,
    unanswered: bool = False,
) -> Rows:
    """The rows that `FileSettings` describe; `feedback` and `unanswered` ones if asked for."""
    skipped: list[str] | None = [] if settings.skip_empty else None
    facts: Facts = {}

    def read(path: str) -> list[Example]:
        return read_examples(
            path,
            base_folder=base_folder,
            columns=settings.columns,
            format=settings.format,
            system=settings.system,
            tools=settings.tools,
            encoding=settings.encoding,
            unicode=settings.unicode,
            skipped=skipped,
            facts=facts,
            feedback=feedback,
            unanswered=unanswered,
        )

    train = read(settings.train)
    notes = []
    if settings.eval is None:
        wanted = settings.eval_rows or settings.eval_share or EVAL_SHARE
        train, evaluation = split(train, wanted, seed)
    else:
        evaluation = read(settings.eval)
        if settings.drop_overlap:
            kept = without_overlap(train, evaluation)
            notes.append(f"{len(train) - len(kept)} training rows left out: evaluation rows too")
            train = kept
        evaluation = _drawn(evaluation, settings.eval_rows, "eval_rows", seed)
    if skipped:
        notes.append(f"{len(skipped)} rows left out: {named(skipped)}")
    notes += sentences(facts)
    return Rows(_drawn(train, settings.train_rows, "train_rows", seed), evaluation, tuple(notes))


def _drawn(examples: Sequence[Example], count: int | None, key: str, seed: int) -> list[Example]:
    if not examples:
        raise InputError(
            "no row is left to train on", way_out="give training rows that are not evaluation rows"
        )
    if count is None:
        return list(examples)
    if count > len(examples):
        raise InputError(
            f"{key} is {count}, and there are {len(examples)}",
            where=examples[0].source,
            way_out=f"ask for at most {len(examples)}, or leave {key} out for all",
        )
    return random.Random(seed).sample(list(examples), count)
