"""What a file of a kind of task gives: how its rows are loaded, and how a reply is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from onsa.data.example import Example
from onsa.metrics.intervals import Measures
from onsa.models.head import Head
from onsa.progress import Advance

Replies = Sequence[str]
Examples = Sequence[Example]
Mode = Literal["generate", "choose", "loss", "head", "requests"]


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
    that cost to score are scored together by `score_all(replies, examples, settings, folder,
    advance)`, where `folder` keeps what must not be asked twice, and `advance(n)` tells those who
    wait of rows that are scored; `combined(scores, settings)` makes one score
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
    score_all: Callable[[Replies, Examples, Any, Path | None, Advance], list[float]] | None = None
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
