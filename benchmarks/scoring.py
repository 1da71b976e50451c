"""How long does scoring 10 000 replies take, intervals included, against the reference libraries?

python -m benchmarks.scoring

Ours scores every row, then the corpus, then a thousand resamples of it; theirs does the same
without the resamples, which they leave to the user.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import HEAD, Ratio, in_turns, ratio_of
from onsa.data.example import Example
from onsa.metrics.classification import classification
from onsa.metrics.intervals import bootstrap_intervals
from onsa.tasks import Task, find_kind

REPLIES, WORDS, CLASSES = 10_000, 40, 77
TURNS = 3


def texts(chance: random.Random) -> tuple[list[str], list[str]]:
    """References, and replies that share most of their words."""
    known = ["".join(chance.choices("abcdefghij", k=chance.randint(2, 8))) for _ in range(2000)]
    references = [chance.choices(known, k=WORDS) for _ in range(REPLIES)]
    replies = [
        [word if chance.random() < 0.7 else chance.choice(known) for word in words]
        for words in references
    ]
    return [" ".join(words) for words in replies], [" ".join(words) for words in references]


def scored(kind: str, replies: list[str], references: list[str]) -> float:
    """Seconds for the scores of all rows, the corpus's figures and their intervals."""
    rows = tuple(
        Example(({"role": "user", "content": "q"}, {"role": "assistant", "content": text}))
        for text in references
    )
    task = Task("t", kind, find_kind(kind).settings(train="x"), rows, rows)
    started = time.perf_counter()
    task.scores(replies, rows)
    measure = task.measure(replies, rows)
    assert measure is not None
    bootstrap_intervals(measure, [""] * len(rows))
    return time.perf_counter() - started


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure() -> list[Ratio]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import BLEU, CHRF
    from sklearn.metrics import precision_recall_fscore_support

    chance = random.Random(0)
    replies, references = texts(chance)
    labels = [str(chance.randrange(CLASSES)) for _ in range(REPLIES)]
    guesses = [label if chance.random() < 0.8 else "0" for label in labels]

    def rouge() -> None:
        scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
        for reply, reference in zip(replies, references, strict=True):
            scorer.score(reference, reply)

    def sacrebleu(corpus: Any, single: Any) -> None:
        corpus.corpus_score(replies, [references])
        for reply, reference in zip(replies, references, strict=True):
            single.sentence_score(reply, [reference])

    def f1_by_hand(times: int) -> None:
        for average in ("macro", "micro") * times:
            precision_recall_fscore_support(labels, guesses, average=average, zero_division=0)

    pairs: list[tuple[str, Callable[[], float], Callable[[], None], float]] = [
        ("ROUGE-1, 2, L / rouge-score", lambda: scored("rouge", replies, references), rouge, 0.5),
        ("BLEU / sacrebleu", lambda: scored("bleu", replies, references),
         lambda: sacrebleu(BLEU(), BLEU(effective_order=True)), 3.0),
        ("chrF / sacrebleu", lambda: scored("chrf", replies, references),
         lambda: sacrebleu(CHRF(), CHRF()), 2.0),
        ("F1, 1000 resamples / 30 of scikit-learn's",
         lambda: seconds(lambda: bootstrap_intervals(
             classification(labels, guesses), [""] * REPLIES)),
         lambda: f1_by_hand(30), 3.0),
    ]  # fmt: skip
    found = []
    for what, ours, theirs, most in pairs:
        turns = in_turns(ours, partial(seconds, theirs), TURNS)
        found.append(ratio_of(f"10 000 replies: {what}", turns, most))
    return found


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
