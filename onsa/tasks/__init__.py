"""Kinds of task: each is one file in this folder, found by looking; there is no list to edit.

A file `number.py` holds `KIND = Kind(...)`: its settings, how its examples are loaded, and how a
reply is scored. A `Task` is one task of a run: examples of a kind, ready to train and to score.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel

from onsa.data.batches import rows_of_an_epoch
from onsa.data.example import Example
from onsa.errors import InputError, did_you_mean
from onsa.files import digest_of_json
from onsa.metrics.intervals import Measures
from onsa.models.head import Head
from onsa.settings import validated

Replies = Sequence[str]
Examples = Sequence[Example]
Mode = Literal["generate", "choose", "loss", "head", "requests"]

VERDICTS = "verdicts"  # in a run's folder: what judges said, kept across steps

# Settings that say where rows come from, or how a judge is reached. The rows themselves are in a
# task's digest, these are not: a file may move.
LOADING = {
    "at_once",
    "human",
    "include_path",
    "key_variable",
    "timeout_seconds",
    "train",
    "eval",
    "eval_share",
    "eval_rows",
    "train_rows",
    "columns",
    "format",
    "encoding",
    "unicode",
    "tools",
    "skip_empty",
    "drop_overlap",
    "group",
    "split",
    "where",
    "stratify",
    "fold",
    "balance",
    "augment",
}


class Rows(NamedTuple):
    """Loaded examples, and what people are told of what was left out and how they were split;
    `settings` where looking at the rows settled them (paths, what `auto` means); `whole`: all rows
    of the training file, before any were drawn."""

    train: list[Example]
    evaluation: list[Example]
    notes: tuple[str, ...] = ()
    head: Head | None = None  # what the task's head says, where it has one
    split: str = ""  # how the evaluation rows came about, in words
    settings: BaseModel | None = None
    whole: Sequence[Example] = ()

    def changed(self, change: Callable[[Example], Example], head: Head | None = None) -> Rows:
        """The rows, each of them changed, for a head."""
        train, evaluation = (
            [change(row) for row in part] for part in (self.train, self.evaluation)
        )
        return self._replace(train=train, evaluation=evaluation, head=head)


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    `mode` says what is scored: a greedy reply ("generate"), the likeliest of `extra["choices"]`
    ("choose"), what the task's own head says ("head"), answers to an evaluation harness
    ("requests"), or nothing but the held-out loss on the replies ("loss"). Settings with a `mode`,
    a `metric`, `higher_is_better` or `is_share` of their own decide instead. `named` is the setting
    whose value may stand behind the kind's name, after a colon; a kind that never `trains` gives no
    training rows, and its replies are for people what `shown(reply, example, settings)` makes of
    them. `load(settings,
    base_folder, seed)` gives the rows; `score(reply, example, settings)` is from 0 to 1. Replies
    that cost to score are scored together by `score_all(replies, examples, settings, folder)`,
    where `folder` keeps what must not be asked twice; `combined(scores, settings)` makes one score
    of a row's drawn replies. A kind without `score` has no reference that could be checked by it.

    What more a report can say of all rows together: `measures`, figures that are no mean of the
    scores (F1, BLEU); `classes`, the true and the replied label of each row, whose confusions are
    worth a picture; `restated`, the mean score in other units, by monotone functions (perplexity of
    a loss); `lower_is_better`, those figures of which less is better; `how(settings, examples)`,
    what else one must know to get the same figures; `agreement(settings, folder)`, how far a judge
    agrees with people (`n` 0 where none were asked).
    """

    name: str
    summary: str
    settings: type[BaseModel]
    load: Callable[[Any, Path, int], Rows]
    metric: str
    mode: Mode
    score: Callable[[str, Example, Any], float] | None = None
    higher_is_better: bool = True
    score_all: Callable[[Replies, Examples, Any, Path | None], list[float]] | None = None
    combined: Callable[[Sequence[float], Any], float] | None = None
    measures: Callable[[Replies, Examples, Any], Measures] | None = None
    classes: Callable[[Replies, Examples, Any], tuple[list[str], list[str]]] | None = None
    restated: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    lower_is_better: frozenset[str] = frozenset()
    how: Callable[[Any, Examples], str] | None = None
    agreement: Callable[[Any, Path | None], dict[str, Any]] | None = None
    shown: Callable[[str, Example, Any], str] | None = None
    named: str = ""
    trains: bool = True


@dataclass(frozen=True)
class Task:
    """One task of a run: what it trains on, what it is scored on, and how."""

    name: str
    kind: str
    settings: BaseModel
    train: tuple[Example, ...]
    evaluation: tuple[Example, ...]
    weight: float = 1.0
    notes: tuple[str, ...] = ()
    head: Head | None = None
    split: str = ""  # how its evaluation rows came about, in words

    @property
    def metric(self) -> str:
        return str(getattr(self.settings, "metric_name", find_kind(self.kind).metric))

    @property
    def mode(self) -> Mode:
        mode: Mode = getattr(self.settings, "mode", None) or find_kind(self.kind).mode
        return mode

    @property
    def higher_is_better(self) -> bool:
        own = find_kind(self.kind).higher_is_better
        return bool(getattr(self.settings, "higher_is_better", own))

    @property
    def is_share(self) -> bool:
        """Whether scores are from 0 to 1; a loss is not."""
        return bool(getattr(self.settings, "is_share", self.mode != "loss"))

    @property
    def told_mode(self) -> Mode:
        """The mode as reports read it: what is no share is told as a loss is."""
        return self.mode if self.is_share else "loss"

    def shown(self, replies: Replies) -> list[str]:
        """The replies to the first evaluation rows as people read them."""
        shown = find_kind(self.kind).shown
        if shown is None:
            return list(replies)
        rows = self.evaluation[: len(replies)]
        return [shown(reply, row, self.settings) for reply, row in zip(replies, rows, strict=True)]

    @property
    def max_new_tokens(self) -> int:
        """The longest reply that is generated, in tokens; 0 where none is."""
        return int(getattr(self.settings, "max_new_tokens", 0)) if self.mode == "generate" else 0

    def score(self, reply: str, example: Example) -> float:
        """From 0 to 1: the reference reply scores 1, an empty one 0, if it is not the reference (no
        label at all)."""
        score = find_kind(self.kind).score
        assert score is not None, f"tasks of kind {self.kind} have no replies to score"
        is_said = reply.strip() or not example.reply.strip()
        return score(reply, example, self.settings) if is_said else 0.0

    def scores(
        self, replies: Replies, examples: Examples, folder: Path | None = None
    ) -> list[float]:
        """The score of each reply; `folder` keeps what must not be asked twice."""
        score_all = find_kind(self.kind).score_all
        pairs = list(zip(replies, examples, strict=True))
        if score_all is None:
            return [self.score(reply, example) for reply, example in pairs]
        said = [row for row, reply in enumerate(replies) if reply.strip()]
        found = [0.0] * len(pairs)
        given = score_all(
            [replies[row] for row in said], [examples[row] for row in said], self.settings, folder
        )
        for row, score in zip(said, given, strict=True):
            found[row] = score
        return found

    @property
    def samples(self) -> int:
        """Replies that are drawn for each row; 1 is the likeliest one."""
        return int(getattr(self.settings, "samples", 1))

    @property
    def drawing(self) -> dict[str, float]:
        """How several replies are drawn, as `generate` takes it."""
        names = ("temperature", "top_p")
        return {name: float(getattr(self.settings, name)) for name in names}

    def combined(self, scores: Sequence[float]) -> float:
        """One score of a row's drawn replies."""
        combined = find_kind(self.kind).combined
        assert combined is not None, f"tasks of kind {self.kind} draw no replies"
        return combined(scores, self.settings)

    def measures(self, replies: Replies, examples: Examples) -> dict[str, float]:
        """The kind's figures over all these rows; NaN where one is not defined."""
        measure = self.measure(replies, examples)
        return measure(np.arange(len(replies))) if measure else {}

    def measure(self, replies: Replies, examples: Examples) -> Measures | None:
        """The kind's figures of any choice of these rows, for resampling."""
        measures = find_kind(self.kind).measures
        return measures(replies, examples, self.settings) if measures and replies else None

    def classes(self, replies: Replies, examples: Examples) -> tuple[list[str], list[str]] | None:
        """The true and the replied label of each row, where the kind is about labels."""
        classes = find_kind(self.kind).classes
        return classes(replies, examples, self.settings) if classes and replies else None

    @property
    def restated(self) -> Mapping[str, Callable[[float], float]]:
        return find_kind(self.kind).restated

    def figures(
        self, replies: Replies, examples: Examples, scores: Sequence[float]
    ) -> dict[str, float]:
        """Everything that is said of these rows together, by its name: the mean score, by the name
        of its metric and in other units, and the kind's figures; NaN where one is not defined."""
        mean = statistics.fmean(scores)
        restated = {name: change(mean) for name, change in self.restated.items()}
        return {self.metric: mean, **restated, **self.measures(replies, examples)}

    @property
    def lower_is_better(self) -> frozenset[str]:
        """The figures of which less is better."""
        of_all = find_kind(self.kind).lower_is_better
        return of_all if self.higher_is_better else of_all | {self.metric}

    @property
    def how(self) -> str:
        """What else one must know to get the same figures."""
        how = find_kind(self.kind).how
        return how(self.settings, self.evaluation) if how else ""

    @property
    def rows_per_epoch(self) -> int:
        """Training rows that one weighted epoch draws."""
        return rows_of_an_epoch(self.weight, len(self.train))

    def agreement(self, folder: Path | None = None) -> dict[str, Any] | None:
        """How far the task's judge agrees with people; None where nobody judges."""
        agreement = find_kind(self.kind).agreement
        return agreement(self.settings, folder) if agreement else None

    @cached_property
    def digest(self) -> str:
        """Equal for tasks that train, weigh and score alike, wherever their rows come from."""
        rows = [
            [_identity(example) for example in examples]
            for examples in (self.train, self.evaluation)
        ]
        settings = self.settings.model_dump(mode="json", exclude=LOADING)
        head = dataclasses.asdict(self.head) if self.head else None
        return digest_of_json([self.name, self.kind, self.weight, settings, rows, head])


def _identity(row: Example) -> list[Any]:
    """What of a row training and scoring depend on."""
    last = [row.only_last] if row.only_last else []
    return [row.messages, row.extra, row.weight, row.target, *last]


@cache
def all_kinds() -> dict[str, Kind]:
    """Every kind in this folder, by name; files that begin with `_` hold no kind."""
    names = [item.name for item in pkgutil.iter_modules(__path__) if item.name[0] != "_"]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(names)]
    return {module.KIND.name: module.KIND for module in modules}


def find_kind(name: str) -> Kind:
    """The kind by its name, or by its name and one of its tasks (`lm_eval:arc_easy`)."""
    own, colon, _ = name.partition(":")
    if own not in all_kinds():
        raise InputError(
            f"unknown kind of task {name!r}", where="kind", way_out=did_you_mean(own, all_kinds())
        )
    kind = all_kinds()[own]
    if colon and not kind.named:
        raise InputError(
            f"nothing follows {own!r} after a colon", where="kind", way_out=f"write 'kind: {own}'"
        )
    return kind


def load_task(
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    base_folder: Path,
    seed: int,
    weight: float = 1.0,
) -> Task:
    """The task `name` of a kind, its rows loaded and its references scored.

    Raises:
        InputError: an unknown kind or setting, faulty data, fewer than two rows, or a reference
            reply that its own scoring does not find right.
    """
    place = f"task {name}"
    try:
        found = find_kind(kind)
        values = validated(found.settings, _with_name(found, kind, settings), "settings")
        rows = found.load(values, base_folder, seed)
        task = Task(
            name,
            kind,
            rows.settings or values,
            tuple(rows.train),
            tuple(rows.evaluation),
            weight,
            rows.notes,
            rows.head,
            rows.split,
        )
        _check_references(task)
    except InputError as fault:
        where = f"{place}, {fault.where}" if fault.where else place
        raise InputError(fault.what, where=where, way_out=fault.way_out) from None
    return task


def _with_name(kind: Kind, text: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with what stands after the colon of `kind: lm_eval:arc_easy` among them."""
    name = text.partition(":")[2]
    if name and kind.named in settings:
        raise InputError(
            f"{kind.named} is said twice",
            where="kind",
            way_out=f"write 'kind: {kind.name}', or take '{kind.named}' out",
        )
    return {**settings, kind.named: name} if name else dict(settings)


def _check_references(task: Task) -> None:
    kind = find_kind(task.kind)
    is_asked_only = not any(row.reply for row in task.evaluation)
    assert task.train or not kind.trains or is_asked_only, "loaders give rows to train on"
    assert task.evaluation, "loaders give at least a row to score on"
    if kind.score is None:
        return
    scores = task.scores([example.reply for example in task.evaluation], task.evaluation)
    for example, score in zip(task.evaluation, scores, strict=True):
        if score != 1:
            raise InputError(
                f"the reference reply itself scores {score:.2g} as kind {task.kind!r}",
                where=example.source,
                way_out="mend the row, or choose another kind ('onsa tasks' lists them)",
            )
