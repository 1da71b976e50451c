"""The order of training, planned before it starts: seeded, length-bucketed, countable.

A plan is a list of batches, each a list of (task, row). Because it is known beforehand, the trained
tokens of a run are exact before step 1, two methods can be given the same number of them, and a
resumed run sees the very batches that the undisturbed run would have seen.

With packing (`pack_to`) a batch is as many sequences of at most so many tokens, each filled with
several rows: `sequences_of` its rows.
"""

from __future__ import annotations

import bisect
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from onsa.data.encoded import Encoded

Row = tuple[str, int]
Plan = list[list[Row]]
Corpus = Mapping[str, Sequence[Encoded]]

PACKED_TOGETHER = 2048  # rows among which those are looked for that fill a sequence
BUCKET_BATCHES = 32  # rows of similar length are batched within windows of this many batches


def plan_epochs(
    corpus: Corpus,
    weights: Mapping[str, float],
    epochs: float,
    batch_size: int,
    seed: int,
    pack_to: int | None = None,
) -> Plan:
    """Batches for a number of passes (a fraction is allowed), mixed anew in each."""
    plan: Plan = []
    whole, part = divmod(epochs, 1.0)
    stream = _epochs(corpus, weights, batch_size, seed, pack_to)
    for _ in range(int(whole)):
        plan += next(stream)
    if part > 1e-9:
        last = next(stream)
        plan += last[: max(1, round(part * len(last)))]
    return longest_first(plan, corpus, pack_to)


def plan_batches(
    corpus: Corpus,
    weights: Mapping[str, float],
    count: int,
    batch_size: int,
    seed: int,
    pack_to: int | None = None,
) -> Plan:
    """So many batches, mixed anew in each pass."""
    stream = chain.from_iterable(_epochs(corpus, weights, batch_size, seed, pack_to))
    return longest_first(list(islice(stream, count)), corpus, pack_to)


def plan_tokens(
    corpus: Corpus,
    weights: Mapping[str, float],
    tokens: int,
    batch_size: int,
    seed: int,
    pack_to: int | None = None,
) -> Plan:
    """Batches, mixed anew in each pass, until `tokens` trained tokens are reached as nearly as
    whole batches allow."""
    plan: Plan = []
    total = 0
    for batch in chain.from_iterable(_epochs(corpus, weights, batch_size, seed, pack_to)):
        more = trained_tokens([batch], corpus)
        if plan and total + more / 2 > tokens:
            break
        plan.append(batch)
        total += more
    return longest_first(plan, corpus, pack_to)


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


def cut_facts(rows: Sequence[Encoded]) -> dict[str, int]:
    """How many rows the length limit cut, and what of them."""
    return {
        "rows": sum(row.cut_tokens > 0 for row in rows),
        "tokens": sum(row.cut_tokens for row in rows),
        "reply_rows": sum(row.lost_tokens > 0 for row in rows if row.target is None),
        "reply_tokens": sum(row.lost_tokens for row in rows if row.target is None),
    }


def cut_notes(cut: Mapping[str, Mapping[str, int]], max_length: int, end: str) -> list[str]:
    """A sentence for each task of which rows were cut at the `end` named."""
    notes = []
    for task, count in cut.items():
        prompts = count["tokens"] - count["reply_tokens"]
        lost = [
            f"{count['reply_tokens']:,} reply tokens in {count['reply_rows']:,} rows"
            if count["reply_tokens"]
            else "",
            f"{prompts:,} tokens that are not trained" if prompts else "",
        ]
        if count["rows"]:
            notes.append(
                f"task {task}: {count['rows']:,} rows are longer than max_length {max_length} and "
                f"cut on the {end}: {' and '.join(filter(None, lost))} are lost"
            )
    return notes


def padded_tokens(plan: Plan, corpus: Corpus, pack_to: int | None = None) -> int:
    """All tokens of the batches, padding with them."""
    return sum(_padded_size(batch, corpus, pack_to) for batch in plan)


def _padded_size(batch: list[Row], corpus: Corpus, pack_to: int | None) -> int:
    lengths = [len(corpus[task][row].ids) for task, row in batch]
    task, row = batch[0]
    if pack_to is not None and corpus[task][row].target is None:
        lengths = [sum(sequence) for sequence in sequences_of(lengths, pack_to)]
    return len(lengths) * max(lengths)


def sequences_of(lengths: Sequence[int], pack_to: int) -> list[list[int]]:
    """Lengths of rows in the order of a batch, by the sequences that they fill one after another.

    Rows that were put into n sequences and laid end to end come out as n at most.
    """
    sequences: list[list[int]] = []
    room = 0
    for length in lengths:
        if length > room:
            sequences.append([])
            room = pack_to
        sequences[-1].append(length)
        room -= length
    return sequences


def longest_first(plan: Plan, corpus: Corpus, pack_to: int | None = None) -> Plan:
    """The batch with the most padded tokens first: what does not fit fails at once."""
    if not plan:
        return plan
    sizes = [_padded_size(batch, corpus, pack_to) for batch in plan]
    longest = sizes.index(max(sizes))
    return [plan[longest], *plan[:longest], *plan[longest + 1 :]]


def _epochs(
    corpus: Corpus,
    weights: Mapping[str, float],
    batch_size: int,
    seed: int,
    pack_to: int | None = None,
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
            for batch in _batches(alike, corpus, batch_size, pack_to, order)
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


def _batches(
    rows: list[Row],
    corpus: Corpus,
    batch_size: int,
    pack_to: int | None,
    order: random.Random,
) -> Iterator[list[Row]]:
    """Batches of rows that are alike; those for a head are never packed."""
    task, row = rows[0]
    if pack_to is None or corpus[task][row].target is not None:
        return _bucketed(rows, corpus, batch_size)
    return _packed(rows, corpus, batch_size, pack_to, order)


def _bucketed(rows: list[Row], corpus: Corpus, batch_size: int) -> Iterator[list[Row]]:
    window = batch_size * BUCKET_BATCHES
    for start in range(0, len(rows), window):
        near = rows[start : start + window]
        near.sort(key=lambda row: len(corpus[row[0]][row[1]].ids))
        for at in range(0, len(near), batch_size):
            yield near[at : at + batch_size]


def _packed(
    rows: list[Row], corpus: Corpus, batch_size: int, pack_to: int, order: random.Random
) -> Iterator[list[Row]]:
    """Batches of `batch_size` sequences, each filled with rows up to `pack_to` tokens."""
    sequences: list[list[Row]] = []
    for start in range(0, len(rows), PACKED_TOGETHER):
        sequences += _filled(rows[start : start + PACKED_TOGETHER], corpus, pack_to)
    order.shuffle(sequences)  # else those that are less full would be batched together
    for at in range(0, len(sequences), batch_size):
        yield list(chain.from_iterable(sequences[at : at + batch_size]))


def _filled(rows: list[Row], corpus: Corpus, pack_to: int) -> list[list[Row]]:
    """Each row, the longest first, goes where it leaves the least room."""
    sequences: list[list[Row]] = []
    rooms: list[tuple[int, int]] = []  # what is left, and of which sequence; the least first
    for row in sorted(rows, key=lambda row: -len(corpus[row[0]][row[1]].ids)):
        length = len(corpus[row[0]][row[1]].ids)
        place = bisect.bisect_left(rooms, (length, 0))
        if place < len(rooms):
            left, number = rooms.pop(place)
        else:
            left, number = pack_to, len(sequences)
            sequences.append([])
        sequences[number].append(row)
        bisect.insort(rooms, (left - length, number))
    return sequences
