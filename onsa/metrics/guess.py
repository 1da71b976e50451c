"""Which kind of task data look like, for a first recipe; the user has the last word."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from onsa.data.example import Example
from onsa.metrics.text import ANSWER_MARK, final_number

LOOKED_AT = 200  # examples, from all over the data
NEARLY_ALL = 0.95
SHORT_REPLY = 40  # characters, at the median: longer ones are seldom matched word for word
SHORT_NUMBER = 24
FEW_LABELS = 20  # more of them must come up again, to be labels at all


class Guess(NamedTuple):
    """A kind of task, and why it was taken; `many`: rows have several labels."""

    kind: str
    why: str
    many: bool = False


def likely_kind(examples: Sequence[Example]) -> Guess:
    """By tests, choices, labels and replies."""
    some = examples[:: math.ceil(len(examples) / LOOKED_AT)]
    for key, kind, why in (
        ("tests", "code", "each row has tests that a program must pass"),
        ("choices", "choose", "each question has choices"),
        ("rejected", "rank", "each prompt has a reply that was liked and one that was not"),
    ):
        if all(key in example.extra for example in some):
            return Guess(kind, why)
    if all("label" in example.extra for example in examples):
        found = _by_labels(examples)
        if found is not None:
            return found
    return _by_replies(some)


def _by_labels(examples: Sequence[Example]) -> Guess | None:
    """Texts, alone or in pairs, with labels or numbers; None where no label comes up again."""
    labels = [example.extra["label"] for example in examples]
    if any(isinstance(label, list) for label in labels):
        return Guess("classify", "a text may have several labels", many=True)
    pairs = all(len(example.texts) == 2 for example in examples)
    numbers = [_number(label) for label in labels]
    if all(map(math.isfinite, numbers)) and not all(number.is_integer() for number in numbers):
        return Guess("regress", f"{'each pair of texts' if pairs else 'each text'} has a number")
    count = len({str(label) for label in labels})
    if count > max(FEW_LABELS, len(labels) / 2):
        return None
    if pairs:
        return Guess("pair", f"each pair of texts has one of {count} labels")
    return Guess("classify", f"each text has one of {count} labels")


def _by_replies(examples: Sequence[Example]) -> Guess:
    numbers = sum(_is_number(example.reply) for example in examples)
    if numbers >= NEARLY_ALL * len(examples):
        return Guess("number", "the replies are numbers, or end in one")
    single = all(sum(m["role"] == "assistant" for m in row.messages) == 1 for row in examples)
    length = statistics.median(len(example.reply) for example in examples)
    if single and length <= SHORT_REPLY:
        return Guess("generate", "the replies are short, and must be the same")
    return Guess("loss", "the replies are long, or one of several: how likely they are")


def _number(label: object) -> float:
    try:
        return float(str(label))
    except ValueError:
        return math.nan


def _is_number(reply: str) -> bool:
    if final_number(reply) is None:
        return False
    letters = any(character.isalpha() for character in reply)
    return ANSWER_MARK in reply or (len(reply.strip()) <= SHORT_NUMBER and not letters)
