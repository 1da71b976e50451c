"""A task of a run: rows of a kind, ready to train and to score."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from onsa.data.batches import rows_of_an_epoch
from onsa.data.example import Example
from onsa.files import digest_of_json
from onsa.metrics.intervals import Measures
from onsa.models.head import Head
from onsa.progress import Advance, no_advance
from onsa.tasks._finding import find_kind
from onsa.tasks._kind import Examples, Mode, Replies

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
        self,
        replies: Replies,
        examples: Examples,
        folder: Path | None = None,
        advance: Advance = no_advance,
    ) -> list[float]:
        """The score of each reply; `folder` keeps what must not be asked twice, `advance` is called
        where `scoring_takes_time`."""
        score_all = find_kind(self.kind).score_all
        pairs = list(zip(replies, examples, strict=True))
        if score_all is None:
            return [self.score(reply, example) for reply, example in pairs]
        said = [row for row, reply in enumerate(replies) if reply.strip()]
        found = [0.0] * len(pairs)
        left = len(pairs)

        def advanced(n: int) -> None:
            nonlocal left
            left -= n
            advance(n)

        given = score_all(
            [replies[row] for row in said],
            [examples[row] for row in said],
            self.settings,
            folder,
            advanced,
        )
        for row, score in zip(said, given, strict=True):
            found[row] = score
        advance(left)  # those that needed no work
        return found

    @property
    def scoring_takes_time(self) -> bool:
        """Whether a person waits for the scores as well as for the replies."""
        return find_kind(self.kind).score_all is not None

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
