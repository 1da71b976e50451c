"""What BLEU and chrF share: counts by row from sacrebleu (Post 2018, arXiv:1804.08771).

The counts of rows add up to those of the corpus, so that a resample costs a sum. sacrebleu keeps
the two functions for its own significance tests; `tests/test_scores.py` holds them to its public
ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onsa.data.example import Example
from onsa.metrics.intervals import Measures, Rows
from onsa.metrics.text import same_text


def corpus(metric: Any, name: str, replies: Sequence[str], examples: Sequence[Example]) -> Measures:
    """The corpus's score, 0 to 100 as sacrebleu prints it."""
    references = [example.reply for example in examples]
    counts = np.array(metric._extract_corpus_statistics(list(replies), [references]), np.int64)

    def measure(rows: Rows) -> dict[str, float]:
        summed = counts[rows].sum(axis=0).tolist()
        return {name: float(metric._compute_score_from_stats(summed).score)}

    return Measures(measure)


def of_a_row(metric: Any, reply: str, example: Example) -> float:
    """The sentence's score from 0 to 1."""
    if same_text(reply, example.reply):  # also where a reference is too short for any n-gram
        return 1.0
    (counts,) = metric._extract_corpus_statistics([reply], [[example.reply]])
    return min(1.0, float(metric._compute_score_from_stats(counts).score) / 100)


def signature(metric: Any) -> str:
    metric.corpus_score(["a"], [["a"]])  # it wants to have counted references before it tells
    return str(metric.get_signature())
