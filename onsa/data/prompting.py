"""What stands before a question: a role, an instruction, examples from the training split."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onsa.data.example import Example
from onsa.recipe.prompt import Pick

if TYPE_CHECKING:
    from onsa.tasks import Task

Shots = Callable[[int], list[Example]]
"""The number of an evaluation row -> the examples shown before it."""

BUCKETS = 4096  # that the letter triples of a text fall into
GRAM = 3


def prompted(
    task: Task, *, system: str = "", instruction: str = "", shots: int = 0, pick: Pick, seed: int
) -> Task:
    """The task with every evaluation row asked in another way; its replies and scoring are kept.

    Args:
        system: comes first in the row's system message.
        instruction: stands before the last question, and before those of the examples.
        shots: as many training examples, each a question and its reply, before the question.
        pick: at random, the same for all rows; at random with every reply as often as the others;
            or for each row those whose questions are most alike, the most alike last.
    """
    choose = _shots(task, min(shots, len(task.train)), pick, seed)
    rows = [
        _asked(row, choose(number), system, instruction)
        for number, row in enumerate(task.evaluation)
    ]
    return dataclasses.replace(task, evaluation=tuple(rows))


def _asked(row: Example, shots: Sequence[Example], system: str, instruction: str) -> Example:
    before = [message for message in row.messages if message["role"] == "system"]
    role = "\n\n".join(filter(None, [system, *(message["content"] for message in before)]))
    turns = chain.from_iterable(_turns(each, instruction) for each in (*shots, row))
    opening = [{"role": "system", "content": role}] if role else []
    return dataclasses.replace(row, messages=(*opening, *turns))


def _turns(row: Example, instruction: str) -> Iterator[dict[str, str]]:
    turns = [message for message in row.messages if message["role"] != "system"]
    question = max(at for at, turn in enumerate(turns) if turn["role"] == "user")
    for at, turn in enumerate(turns):
        if instruction and at == question:
            yield {**turn, "content": f"{instruction}\n\n{turn['content']}"}
        else:
            yield turn


def _shots(task: Task, count: int, pick: Pick, seed: int) -> Shots:
    if count == 0:
        return lambda number: []
    if pick == "nearest":
        order = _nearest([*map(_question, task.train)], [*map(_question, task.evaluation)], count)
        return lambda number: [task.train[int(row)] for row in order[number]]
    drawn = random.Random(f"shots/{seed}/{task.name}").sample(task.train, len(task.train))
    chosen = (_balanced(drawn) if pick == "balanced" else drawn)[:count]
    return lambda number: chosen


def _balanced(rows: Sequence[Example]) -> list[Example]:
    """The rows in turns of one row for each reply."""
    by_reply: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        by_reply[row.reply].append(row)
    turns = zip_longest(*by_reply.values())
    return [row for row in chain.from_iterable(turns) if row is not None]


def _question(row: Example) -> str:
    return row.prompt[-1]["content"]


def _nearest(known: Sequence[str], asked: Sequence[str], count: int) -> NDArray[np.intp]:
    """For each text asked, the `count` known ones with the largest cosine, the largest last.

    Of letter triples, so that no language needs to be cut into words; weighted by how few of the
    known texts have them, so that what all questions share says nothing.
    """
    triples = _triples(known)
    rarity = np.log((1 + len(known)) / (1 + np.count_nonzero(triples, axis=0)))
    of_known, of_asked = (_unit_rows(counts * rarity) for counts in (triples, _triples(asked)))
    return np.argsort(of_asked @ of_known.T, axis=1, kind="stable")[:, -count:]


def _triples(texts: Sequence[str]) -> NDArray[np.float32]:
    counts = np.zeros((len(texts), BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        for at in range(max(1, len(text) - GRAM + 1)):
            counts[row, _bucket(text[at : at + GRAM].casefold())] += 1
    return counts


def _bucket(triple: str) -> int:
    # Not hash(): it differs from process to process.
    return int.from_bytes(hashlib.blake2s(triple.encode(), digest_size=2).digest()) % BUCKETS


def _unit_rows(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1, lengths)
