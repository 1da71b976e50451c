"""ROUGE: words and word pairs in common, and the longest common subsequence (Lin 2004)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field

from onsa.data.example import Example
from onsa.metrics.intervals import Measures
from onsa.metrics.rouge import rouge_l, rouge_n
from onsa.metrics.text import same_text
from onsa.tasks import Kind, Rows
from onsa.tasks._files import GenerationSettings, load_files
from onsa.tasks._words import Words, about_words, chosen_words, script_of, words_of

MEASURES: dict[str, Callable[[list[str], list[str]], float]] = {
    "ROUGE-1": partial(rouge_n, n=1),
    "ROUGE-2": partial(rouge_n, n=2),
    "ROUGE-L": rouge_l,
}


class Rouge(GenerationSettings):
    words: Words = Field(
        "auto", description="how Japanese is parted: in words (needs fugashi), or in characters"
    )


def load(settings: Rouge, base_folder: Path, seed: int) -> Rows:
    rows = load_files(settings, base_folder, seed)
    parted = chosen_words(settings.words, rows.evaluation)
    fell_back = settings.words == "auto" and parted == "characters"
    if fell_back and script_of(rows.evaluation) == "japanese":
        note = "Japanese is compared by characters, not words: pip install 'onsa[ja]' for words"
        rows = rows._replace(notes=(*rows.notes, note))
    return rows._replace(settings=settings.model_copy(update={"words": parted}))


def score(reply: str, example: Example, settings: Rouge) -> float:
    return _scores(reply, example, settings, ("ROUGE-L",))["ROUGE-L"]


def measures(replies: Sequence[str], examples: Sequence[Example], settings: Rouge) -> Measures:
    """The means of ROUGE-1, ROUGE-2 and ROUGE-L."""
    rows = [_scores(reply, row, settings) for reply, row in zip(replies, examples, strict=True)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Measures(
        lambda chosen: {name: float(column[chosen].mean()) for name, column in columns.items()}
    )


def how(settings: Rouge, examples: Sequence[Example]) -> str:
    return f"ROUGE F-measures, {about_words(settings.words)}; no stemming."


def _scores(
    reply: str, example: Example, settings: Rouge, names: Sequence[str] = tuple(MEASURES)
) -> dict[str, float]:
    if same_text(reply, example.reply):  # also where a reference has no words, or no pair of them
        return dict.fromkeys(names, 1.0)
    said, wanted = (words_of(text, settings.words) for text in (reply, example.reply))
    return {name: MEASURES[name](said, wanted) for name in names}


KIND = Kind(
    name="rouge",
    summary="ROUGE-L F-measure of the reply with the reference; ROUGE-1 and ROUGE-2 beside it.",
    settings=Rouge,
    load=load,
    metric="ROUGE-L",
    mode="generate",
    score=score,
    measures=measures,
    how=how,
)
