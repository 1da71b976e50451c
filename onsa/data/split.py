"""Which rows train and which are scored on: by share, by fold, by order; drawn by a seed.

Rows that belong together (`overlap.together`) are never on both sides.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from onsa.data.balance import label_of
from onsa.data.example import Example
from onsa.data.overlap import together
from onsa.errors import InputError

if TYPE_CHECKING:
    from onsa.tasks import Task

LARGEST_KEPT_OUT = 0.1  # share of the training rows that may be kept out to measure on
MOST_FOLDS = 100


class Fold(NamedTuple):
    """The `number`-th (from 1) of so many `parts`: scored on, while the others train."""

    number: int
    parts: int

    @classmethod
    def read(cls, text: str) -> Fold:
        """A fold written as `2/5`.

        Raises:
            InputError: it is none.
        """
        number, _, parts = text.partition("/")
        if number.isdecimal() and parts.isdecimal():
            fold = cls(int(number), int(parts))
            if 2 <= fold.parts <= MOST_FOLDS and 1 <= fold.number <= fold.parts:
                return fold
        raise InputError(
            f"{text!r} is no fold",
            way_out=f"write 2/5 for the second of five (at most {MOST_FOLDS})",
        )


def split(
    examples: Sequence[Example], share_or_rows: float, seed: int, *, stratify: bool = False
) -> tuple[list[Example], list[Example]]:
    """Training and evaluation rows, drawn by `seed`: a share (a float) or a number of rows.

    With `stratify` each label has its share of the evaluation. What must stay together does; so
    the evaluation can be a few rows smaller than asked. Its rows come in the drawn order, so that
    the first of them are a fair sample of all.

    Raises:
        InputError: no such split exists.
    """
    groups = together(examples)
    random.Random(seed).shuffle(groups)
    wanted = _wanted_rows(len(examples), share_or_rows)
    labels = _labels(examples, stratify)
    room = _quotas(Counter(labels), wanted)
    drawn: list[int] = []
    for group in groups:
        needed = Counter(labels[place] for place in group)
        if all(room[label] >= count for label, count in needed.items()):
            room.subtract(needed)
            drawn += group
    return _two_sides(examples, drawn)


def split_last(
    examples: Sequence[Example], share_or_rows: float
) -> tuple[list[Example], list[Example], list[Example]]:
    """Training rows, the last rows as evaluation, and the rows that are neither.

    The last are the earlier rows that belong together with an evaluation row: trained on, they
    would tell what is scored.

    Raises:
        InputError: no such split exists.
    """
    first = len(examples) - _wanted_rows(len(examples), share_or_rows)
    parted = {
        place
        for group in together(examples)
        if group[-1] >= first
        for place in group
        if place < first
    }
    train = [example for place, example in enumerate(examples[:first]) if place not in parted]
    if not train:
        raise _cannot_split(examples)
    return train, list(examples[first:]), [examples[place] for place in sorted(parted)]


def split_fold(
    examples: Sequence[Example], fold: Fold, seed: int, *, stratify: bool = False
) -> tuple[list[Example], list[Example]]:
    """Training and evaluation rows of one fold: each row is in the evaluation of one fold only.

    The folds are as equal as what must stay together allows; with `stratify` also in each label.

    Raises:
        InputError: there are fewer groups of rows than folds.
    """
    groups = together(examples)
    if len(groups) < fold.parts:
        raise InputError(
            f"the {len(examples)} rows are {len(groups)} groups that stay together, too few for "
            f"{fold.parts} folds",
            where=examples[0].source,
            way_out="ask for fewer folds",
        )
    random.Random(seed).shuffle(groups)
    groups.sort(key=len, reverse=True)  # the large ones first, while there is room everywhere
    labels = _labels(examples, stratify)
    inside = [Counter[Hashable]() for _ in range(fold.parts)]
    drawn: list[int] = []
    for group in groups:
        needed = Counter(labels[place] for place in group)
        best = min(range(fold.parts), key=lambda number: _fullness(inside[number], needed))
        inside[best].update(needed)
        if best == fold.number - 1:
            drawn += group
    random.Random(f"{seed}/{fold.number}").shuffle(drawn)
    return _two_sides(examples, drawn)


def sample_rows(task: Task, share: float, seed: int) -> Task:
    """The task with a random `share` of its training rows, at least one, in their old order."""
    count = min(len(task.train), max(1, round(share * len(task.train))))
    if count == len(task.train):
        return task
    rows = sorted(_order(task, seed).sample(range(len(task.train)), count))
    return dataclasses.replace(task, train=tuple(task.train[row] for row in rows))


def split_rows(task: Task, kept_out: int, seed: int) -> tuple[Task, Task | None]:
    """The task without `kept_out` rows (at most a tenth), and a task to measure on them.

    What must stay together does, as in `split`: a row is not measured on while its copy trains.
    """
    count = min(kept_out, int(LARGEST_KEPT_OUT * len(task.train)))
    groups = together(task.train)
    _order(task, seed).shuffle(groups)
    out: set[int] = set()
    for group in groups:
        if len(out) + len(group) <= count:
            out.update(group)
    if not out:
        return task, None
    rest = tuple(row for number, row in enumerate(task.train) if number not in out)
    kept = tuple(task.train[number] for number in sorted(out))
    return (
        dataclasses.replace(task, train=rest),
        dataclasses.replace(task, train=(), evaluation=kept),
    )


def _order(task: Task, seed: int) -> random.Random:
    return random.Random(f"{seed}/{task.name}")  # a string seed is hashed the same everywhere


def _wanted_rows(count: int, share_or_rows: float) -> int:
    if count < 2:
        raise InputError(
            f"{count} row: one is needed to train and one to score", way_out="give more rows"
        )
    if isinstance(share_or_rows, float):
        return min(count - 1, max(1, round(share_or_rows * count)))
    if share_or_rows >= count:
        raise InputError(
            f"{share_or_rows} evaluation rows of {count} rows leave none to train on",
            way_out="ask for fewer ('eval_rows'), or give more rows",
        )
    return share_or_rows


def _labels(examples: Sequence[Example], stratify: bool) -> list[Hashable]:
    """What has its own share of a split: each label, or all rows alike."""
    return [label_of(example) if stratify else None for example in examples]


def _quotas(counts: Mapping[Hashable, int], wanted: int) -> Counter[Hashable]:
    """`wanted` rows divided in proportion to the counts, the largest remainders rounded up."""
    whole = sum(counts.values())
    exact = {label: wanted * count / whole for label, count in counts.items()}
    quotas = Counter({label: math.floor(rows) for label, rows in exact.items()})
    by_remainder = sorted(exact, key=lambda label: (quotas[label] - exact[label], str(label)))
    quotas.update(by_remainder[: wanted - quotas.total()])
    return quotas


def _fullness(inside: Counter[Hashable], needed: Counter[Hashable]) -> tuple[float, int]:
    """How full a fold is of the labels that a group needs, and how full in all."""
    return sum(inside[label] * count for label, count in needed.items()), inside.total()


def _two_sides(
    examples: Sequence[Example], drawn: Sequence[int]
) -> tuple[list[Example], list[Example]]:
    evaluated = set(drawn)
    train = [example for place, example in enumerate(examples) if place not in evaluated]
    if not train or not drawn:
        raise _cannot_split(examples)
    return train, [examples[place] for place in drawn]


def _cannot_split(examples: Sequence[Example]) -> InputError:
    return InputError(
        f"the {len(examples)} rows cannot be split: too many have the same prompt, are of one "
        "group or come from one row",
        where=examples[0].source,
        way_out="ask for more rows to score on, or give them as a file of their own ('eval: ...')",
    )
