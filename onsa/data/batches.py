"""The order of training, planned before it starts: seeded, length-bucketed, countable.

A plan is a list of batches, each a list of (task, row). Because it is known beforehand, the trained
tokens of a run are exact before step 1, two methods can be given the same number of them, and a
resumed run sees the very batches that the undisturbed run would have seen.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from onsa.data.encoding import Encoded

Row = tuple[str, int]
Plan = list[list[Row]]
Corpus = Mapping[str, Sequence[Encoded]]

BUCKET_BATCHES = 32  # rows of similar length are batched within windows of this many batches


def plan_epochs(
    corpus: Corpus, weights: Mapping[str, float], epochs: float, batch_size: int, seed: int
) -> Plan:
    """Batches for a number of passes (a fraction is allowed), mixed anew in each."""
    plan: Plan = []
    whole, part = divmod(epochs, 1.0)
    stream = _epochs(corpus, weights, batch_size, seed)
    for _ in range(int(whole)):
        plan += next(stream)
    if part > 1e-9:
        last = next(stream)
        plan += last[: max(1, round(part * len(last)))]
    return longest_first(plan, corpus)


def plan_tokens(
    corpus: Corpus, weights: Mapping[str, float], tokens: int, batch_size: int, seed: int
) -> Plan:
    """Batches, mixed anew in each pass, until `tokens` trained tokens are reached as nearly as
    whole batches allow."""
    plan: Plan = []
    total = 0
    for batch in (batch for epoch in _epochs(corpus, weights, batch_size, seed) for batch in epoch):
        more = trained_tokens([batch], corpus)
        if plan and total + more / 2 > tokens:
            break
        plan.append(batch)
        total += more
    return longest_first(plan, corpus)


def rows_of_an_epoch(weight: float, size: int) -> int:
    """Rows that one pass draws of a task of `size` rows."""
    return max(1, round(weight * size))


def rows_by_task(plan: Plan) -> dict[str, int]:
    """How many rows of each task the batches hold."""
    return dict(Counter(task for batch in plan for task, _ in batch))


def trained_tokens(plan: Plan, corpus: Corpus) -> int:
    return sum(corpus[task][row].trained_tokens for batch in plan for task, row in batch)


def processed_tokens(plan: Plan, corpus: Corpus) -> int:
    """All tokens of the batches, prompts with them, padding without."""
    return sum(len(corpus[task][row].ids) for batch in plan for task, row in batch)


def padded_tokens(plan: Plan, corpus: Corpus) -> int:
    """All tokens of the batches, padding with them."""
    return sum(_padded_size(batch, corpus) for batch in plan)


def _padded_size(batch: list[Row], corpus: Corpus) -> int:
    return len(batch) * max(len(corpus[task][row].ids) for task, row in batch)


def longest_first(plan: Plan, corpus: Corpus) -> Plan:
    """The batch with the most padded tokens first: what does not fit fails at once."""
    if not plan:
        return plan
    sizes = [_padded_size(batch, corpus) for batch in plan]
    longest = sizes.index(max(sizes))
    return [plan[longest], *plan[:longest], *plan[longest + 1 :]]


def _epochs(
    corpus: Corpus, weights: Mapping[str, float], batch_size: int, seed: int
) -> Iterator[Plan]:
    """Endless passes over the corpus, each with its own order, all from one seed."""
    epoch = 0
    while True:
        order = random.Random(f"{seed}/{epoch}")  # a string seed is hashed the same everywhere
        rows = [row for task in corpus for row in _drawn(task, corpus, weights[task], order)]
        order.shuffle(rows)
        batches = [
            batch
            for alike in _by_what_is_trained(rows, corpus)
            for batch in _bucketed(alike, corpus, batch_size)
        ]
        order.shuffle(batches)
        yield batches
        epoch += 1


def _drawn(task: str, corpus: Corpus, weight: float, order: random.Random) -> list[Row]:
    """The rows of one task in one pass: each `weight` times on average."""
    size = len(corpus[task])
    wanted = rows_of_an_epoch(weight, size)
    rows = [(task, row) for _ in range(wanted // size) for row in range(size)]
    return rows + [(task, row) for row in order.sample(range(size), wanted % size)]


def _by_what_is_trained(rows: list[Row], corpus: Corpus) -> list[list[Row]]:
    """Rows whose replies are trained, and those for each task's head: a batch has rows of one."""
    alike: dict[str, list[Row]] = {}
    for task, row in rows:
        kind = "" if corpus[task][row].target is None else f"head of {task}"
        alike.setdefault(kind, []).append((task, row))
    return list(alike.values())


def _bucketed(rows: list[Row], corpus: Corpus, batch_size: int) -> Iterator[list[Row]]:
    window = batch_size * BUCKET_BATCHES
    for start in range(0, len(rows), window):
        near = rows[start : start + window]
        near.sort(key=lambda row: len(corpus[row[0]][row[1]].ids))
        for at in range(0, len(near), batch_size):
            yield near[at : at + batch_size]
