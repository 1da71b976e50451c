"""How often labels and tasks come: counted, evened out inside a task, and mixed between tasks."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.recipe.schema import TaskBalance, Temperature

Balance = Literal["none", "oversample", "undersample", "weights"]

FEWEST_OF_A_LABEL = 2  # rows of a label on average, or the replies are texts and no labels


def label_of(example: Example) -> str:
    """The label of an example, several as one; of one without, its reply."""
    label = example.extra.get("label", example.reply)
    return ", ".join(sorted(map(str, label))) if isinstance(label, list) else str(label)


def label_counts(examples: Sequence[Example]) -> dict[str, int]:
    """Rows by label, the most frequent first; empty where the rows have texts or numbers."""
    labels = [example.extra.get("label") for example in examples]
    if any(isinstance(label, float) for label in labels):
        return {}
    counts = Counter(label_of(example) for example in examples)
    if None in labels and len(counts) * FEWEST_OF_A_LABEL > len(examples):
        return {}
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def label_balance(
    train: Sequence[Example], evaluation: Sequence[Example]
) -> dict[str, dict[str, int]]:
    """Rows by label, of training and evaluation; empty where the rows have no labels."""
    if not label_counts([*train, *evaluation]):
        return {}
    trained, scored = (Counter(map(label_of, rows)) for rows in (train, evaluation))
    labels = [label for label, _ in (trained + scored).most_common()]
    return {label: {"train": trained[label], "evaluation": scored[label]} for label in labels}


def require_labels(examples: Sequence[Example], key: str) -> dict[str, int]:
    """Rows by label.

    Raises:
        InputError: the rows have no labels for `key` to work on.
    """
    counts = label_counts(examples)
    if len(counts) > 1:
        return counts
    why = (
        f"all {len(examples)} rows have the label {next(iter(counts))!r}"
        if counts
        else "the replies are numbers, or texts that hardly repeat"
    )
    raise InputError(
        f"{key} needs labels: {why}",
        where=examples[0].source,
        way_out=f"take {key} out",
    )


def balanced(examples: Sequence[Example], how: Balance, seed: int) -> tuple[list[Example], str]:
    """The rows with their labels evened out, and a sentence that says what was done.

    `oversample` repeats rows of the rarer labels up to the most frequent one, every row as often as
    the others of its label or once more; `undersample` draws as many of each label as the rarest
    has; `weights` gives each row N / (labels x rows of its label), which is 1 on average.

    Raises:
        InputError: the rows have no labels.
    """
    counts = require_labels(examples, "balance")
    most, fewest = max(counts.values()), min(counts.values())
    if most == fewest:
        return list(examples), f"balance has nothing to do: {len(counts)} labels of {most} rows"
    if how == "weights":
        return _weighted(examples, counts)
    target = most if how == "oversample" else fewest
    chance = random.Random(f"{seed}/balance")
    places: dict[str, list[int]] = {label: [] for label in counts}
    for place, example in enumerate(examples):
        places[label_of(example)].append(place)
    drawn = sorted(place for own in places.values() for place in _drawn(own, target, chance))
    rarest = next(label for label in counts if counts[label] == fewest)
    what = (
        f"repeated rows up to {target} of each label (those of {rarest!r} {target / fewest:.3g} "
        "times)"
        if how == "oversample"
        else f"drew {target} rows of each label, as many as {rarest!r} has"
    )
    said = f"balance {what}: {len(drawn)} of {len(examples)} rows"
    return [examples[place] for place in drawn], said


def _drawn(places: list[int], target: int, chance: random.Random) -> list[int]:
    """`target` of the places, each equally often or once more."""
    repeats, rest = divmod(target, len(places))
    return places * repeats + chance.sample(places, rest)


def _weighted(examples: Sequence[Example], counts: Mapping[str, int]) -> tuple[list[Example], str]:
    even = len(examples) / len(counts)
    rows = [
        dataclasses.replace(example, weight=example.weight * even / counts[label_of(example)])
        for example in examples
    ]
    most, fewest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    return rows, (
        f"balance weighs rows by their label, from {even / counts[most]:.3g} ({most!r}) to "
        f"{even / counts[fewest]:.3g} ({fewest!r})"
    )


def task_weights(
    sizes: Mapping[str, int], weights: Mapping[str, float], how: TaskBalance
) -> dict[str, float]:
    """How often the rows of each task come in an epoch, by the tasks' sizes and own weights.

    Tasks are drawn in proportion to weight x n^(1/T) (arXiv:1910.10683): T is 1 for "size",
    endless for "equal"; above its `limit` a size counts as the limit. The epoch of all tasks
    together is as long as it would be by size.

    Raises:
        InputError: a limit that no task reaches.
    """
    if how == "size":
        return dict(weights)
    if isinstance(how, Temperature) and how.limit and how.limit >= max(sizes.values()):
        raise InputError(
            f"limit {how.limit} has no effect: the largest task has {max(sizes.values())} rows",
            where="task_balance",
            way_out="take it out, or lower it",
        )
    rates = {name: weights[name] * _size_as_mixed(size, how) for name, size in sizes.items()}
    rows = sum(weights[name] * size for name, size in sizes.items())
    whole = sum(rates.values())
    return {name: rows * rates[name] / whole / size for name, size in sizes.items()}


def _size_as_mixed(size: int, how: TaskBalance) -> float:
    if not isinstance(how, Temperature):
        return 1.0
    return float(min(size, how.limit or size) ** (1 / how.temperature))
