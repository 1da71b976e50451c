"""Tasks out of data files: the settings and the loader that most kinds share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from onsa.data.augmentation import Augment, augment
from onsa.data.balance import Balance, balanced, require_labels
from onsa.data.by_value import (
    Chosen,
    Column,
    ColumnSplit,
    Values,
    counts_columns,
    require_values,
    where_filters,
    written,
)
from onsa.data.example import Example
from onsa.data.files._opened import Facts
from onsa.data.overlap import without_overlap
from onsa.data.places import named
from onsa.data.reading import Tools, Unicode, read_examples, sentences
from onsa.data.split import Fold, split, split_fold, split_last
from onsa.errors import InputError
from onsa.settings import Settings
from onsa.tasks import Rows

RowCount = Annotated[int, Field(ge=1, strict=True)]


def _known_fold(text: str) -> str:
    Fold.read(text)
    return text


FoldText = Annotated[str, AfterValidator(_known_fold)]

WAYS_TO_SPLIT = ("eval_share", "split", "stratify", "fold")
TWO_ANSWERS = (
    ("eval_share", "eval_rows"),
    ("fold", "eval_share"),
    ("fold", "eval_rows"),
    ("fold", "split"),
    ("split", "stratify"),
    ("columns", "format"),
)
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
        False, description="leave out training rows that are evaluation rows too, of any task"
    )
    group: Column | None = Field(
        None, description="column whose equal values (a passage, a person) stay on one side"
    )
    split: ColumnSplit | Literal["random", "last"] = Field(
        "random",
        description="which rows of 'train' are kept for scoring: random, last, or what a column "
        "says: {column: usage, train: train, eval: test}",
    )
    where: dict[Column, Values] | None = Field(
        None, description="only rows with this value in a column: {language: ja}"
    )
    stratify: bool = Field(False, description="each label has its share of the rows to score on")
    fold: FoldText | None = Field(None, description="2/5: score on the second of five parts")
    balance: Balance = Field("none", description="how the labels of training rows are evened out")
    augment: Augment | None = Field(
        None, description="new training rows, made by edits: {synonyms: 10%, copies: 2}"
    )

    def chosen(self, side: Literal["train", "eval"]) -> Chosen:
        """What picks the rows of a side by the values of columns."""
        filters = where_filters(self.where)
        if isinstance(self.split, ColumnSplit):
            filters.append(self.split.side(side))
        return Chosen(filters)

    @property
    def has_header(self) -> bool:
        """Whether no row is chosen by a column that is told by number."""
        split = [self.split.column] if isinstance(self.split, ColumnSplit) else []
        return not counts_columns([*(self.where or {}), *split])

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> FileSettings:
        ways = [key for key in WAYS_TO_SPLIT if self.differs(key)]
        if self.eval is not None and ways:
            raise ValueError(f"{ways[0]} has no effect with eval: take it out")
        by_column = isinstance(self.split, ColumnSplit)
        if self.eval is None and self.drop_overlap and not by_column:
            raise ValueError("drop_overlap has no effect without eval: a split has no overlap")
        if self.where is not None and not all(map(written, self.where.values() or [[]])):
            raise ValueError("where needs columns with values: {language: ja}")
        for one, other in (*TWO_ANSWERS, *([("eval_share", "split")] if by_column else [])):
            if self.differs(one) and self.differs(other):
                raise ValueError(f"{one} and {other} are two answers: keep one")
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

    chosen = {"train": settings.chosen("train"), "eval": settings.chosen("eval")}

    def read(path: str, side: str) -> list[Example]:
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
            group=settings.group,
            chosen=chosen[side],
            header=settings.has_header,
        )

    train = whole = read(settings.train, "train")
    by_column = isinstance(settings.split, ColumnSplit)
    is_given = settings.eval is not None or by_column
    if unanswered and not all(row.reply for row in train):
        return _questions(train, settings, seed)
    if is_given:
        evaluation = read(settings.eval or settings.train, "eval")
        train, notes = _apart(train, evaluation, settings)
        how = settings.split.told if by_column else "a file of its own"
    else:
        train, evaluation, how = _split(train, settings, seed)
        notes = []
    notes += chosen["train"].notes(settings.train)
    if settings.eval is None:
        require_values([chosen["train"]])
    else:
        require_values(list(chosen.values()))
        notes += chosen["eval"].notes(settings.eval)
    evaluated = evaluation  # all of them: one that is not drawn may still be scored on elsewhere
    if is_given:
        evaluation = _drawn(evaluation, settings.eval_rows, "eval_rows", seed)
    if skipped:
        notes.append(f"{len(skipped)} rows left out: {named(skipped)}")
    train = _drawn(train, settings.train_rows, "train_rows", seed)
    if settings.augment is not None:
        made = augment(train, evaluated, settings.augment, base_folder, seed)
        train = [*train, *made.rows]
        notes += made.notes
    if settings.balance != "none":
        train, said = balanced(train, settings.balance, seed)
        notes.append(said)
    notes += sentences(facts)
    return Rows(train, evaluation, tuple(notes), None, how, whole=whole)


def _questions(rows: list[Example], settings: FileSettings, seed: int) -> Rows:
    """Rows without replies are all scored, and none is trained on."""
    if settings.eval is not None:
        raise InputError(
            "there are no replies to train on",
            where=next(row.source for row in rows if not row.reply),
            way_out="give the questions as 'train' alone: all of them are scored then",
        )
    evaluation = _drawn(rows, settings.eval_rows, "eval_rows", seed)
    return Rows([], evaluation, (), None, "questions without replies: all are scored")


def _split(
    examples: list[Example], settings: FileSettings, seed: int
) -> tuple[list[Example], list[Example], str]:
    """Training rows, evaluation rows, and how the split was made."""
    wanted = settings.eval_rows or settings.eval_share or EVAL_SHARE
    size = f"{wanted} rows" if settings.eval_rows else f"{wanted:.3g} of the rows"
    if settings.stratify:
        require_labels(examples, "stratify")
    if settings.split == "last":
        train, evaluation, parted = split_last(examples, wanted)
        how = f"the last {size}"
        if parted:
            how += (
                f"; left out are {len(parted)} of the earlier ones, which belong together with one "
                f"of them: {named([row.source for row in parted])}"
            )
    elif settings.fold is not None:
        fold = Fold.read(settings.fold)
        train, evaluation = split_fold(examples, fold, seed, stratify=settings.stratify)
        how = f"fold {fold.number} of {fold.parts}, by seed {seed}"
    else:
        train, evaluation = split(examples, wanted, seed, stratify=settings.stratify)
        how = f"{size}, drawn by seed {seed}"
    if settings.stratify:
        how = f"{how}, of each label its share"
    if settings.group is not None:
        groups = [len({row.group for row in rows}) for rows in (train, evaluation)]
        how += f"; {groups[0]} groups of {settings.group!r} train, {groups[1]} are scored on"
    return train, evaluation, how


def _apart(
    train: list[Example], evaluation: list[Example], settings: FileSettings
) -> tuple[list[Example], list[str]]:
    """Training rows that are no evaluation rows and of no group of theirs, as far as asked for.

    Raises:
        InputError: groups stand on both sides. (What other overlap there is, is refused once all
            tasks are loaded.)
    """
    shared = {row.group for row in train} & {row.group for row in evaluation} - {""}
    if not settings.drop_overlap:
        if shared and settings.group is None:  # found by looking: a passage that rows share
            rows = sum(row.group in shared for row in evaluation)
            return train, [
                f"{rows} evaluation rows are about a text that training rows are about too"
            ]
        if shared:
            raise InputError(
                f"{len(shared)} groups of {settings.group!r} stand on both sides",
                where=next(row.source for row in train if row.group in shared),
                way_out="set 'drop_overlap: true' (their training rows are not trained then), or "
                "take 'group' out",
            )
        return train, []
    kept = [row for row in without_overlap(train, evaluation) if row.group not in shared]
    left_out = len(train) - len(kept)
    return kept, [f"{left_out} training rows left out: evaluation rows too"] if left_out else []


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
