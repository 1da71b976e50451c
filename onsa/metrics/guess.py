"""Which kind of task data look like, for a first recipe; the user has the last word."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from onsa.data.example import Example
from onsa.metrics.text import ANSWER_MARK, final_number

LOOKED_AT = 200  # examples
NEARLY_ALL = 0.95
SHORT_REPLY = 40  # characters, at the median: longer ones are seldom matched word for word
SHORT_NUMBER = 24


def likely_kind(examples: Sequence[Example]) -> str:
<<<<<<< HEAD
    """`code`, `choose`, `number`, `generate` or `loss`, by what the examples have."""
=======
    """`code`, `choose`, `number`, `generate` or `loss`, by tests, choices and replies."""
>>>>>>> e67cdcc05127f9f044d094c9a8ff8c1f077905a9
    examples = examples[:LOOKED_AT]
    if all("tests" in example.extra for example in examples):
        return "code"
    if all("choices" in example.extra for example in examples):
        return "choose"
    numbers = sum(_is_number(example.reply) for example in examples)
    if numbers >= NEARLY_ALL * len(examples):
        return "number"
    single = all(sum(m["role"] == "assistant" for m in row.messages) == 1 for row in examples)
    length = statistics.median(len(example.reply) for example in examples)
    return "generate" if single and length <= SHORT_REPLY else "loss"


def _is_number(reply: str) -> bool:
    if final_number(reply) is None:
        return False
    letters = any(character.isalpha() for character in reply)
    return ANSWER_MARK in reply or (len(reply.strip()) <= SHORT_NUMBER and not letters)
