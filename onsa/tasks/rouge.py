"""ROUGE: words and word pairs in common, and the longest common subsequence (Lin 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from onsa.data.example import Example
from onsa.metrics.intervals import Measures
from onsa.metrics.rouge import rouge_l, rouge_n
from onsa.metrics.text import same_text
from onsa.tasks import Kind, Rows
from onsa.tasks._files import GenerationSettings, load_files
from onsa.tasks._words import Words, about_words, chosen_words, marked, script_of, words_of


class Rouge(GenerationSettings):
    words: Words = Field(
        "auto", description="how Japanese is parted: in words (needs fugashi), or in characters"
    )


def load(settings: Rouge, base_folder: Path, seed: int) -> Rows:
    rows = load_files(settings, base_folder, seed)
    parted = chosen_words(settings.words, rows.evaluation)
    fell_back = settings.words == "auto" and parted == "characters"
    note = ""
    if fell_back and script_of(rows.evaluation) == "japanese":
        note = "Japanese is compared by characters, not words: pip install 'onsa[ja]' for words"
    return marked(rows, "words", parted, note)


def score(reply: str, example: Example, settings: Rouge) -> float:
    return _scores(reply, example)["ROUGE-L"]


def measures(replies: Sequence[str], examples: Sequence[Example], settings: Rouge) -> Measures:
    """The means of ROUGE-1, ROUGE-2 and ROUGE-L."""
    rows = [_scores(reply, row) for reply, row in zip(replies, examples, strict=True)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Measures(
        lambda chosen: {name: float(column[chosen].mean()) for name, column in columns.items()}
    )


def how(settings: Rouge, examples: Sequence[Example]) -> str:
    return f"ROUGE F-measures, {about_words(_parted(examples[0]))}; no stemming."


def _scores(reply: str, example: Example) -> dict[str, float]:
    if same_text(reply, example.reply):  # also where a reference has no words, or no pair of them
        return dict.fromkeys(("ROUGE-1", "ROUGE-2", "ROUGE-L"), 1.0)
    said, wanted = (words_of(text, _parted(example)) for text in (reply, example.reply))
    return {
        "ROUGE-1": rouge_n(said, wanted, 1),
        "ROUGE-2": rouge_n(said, wanted, 2),
        "ROUGE-L": rouge_l(said, wanted),
    }


def _parted(example: Example) -> str:
    return str(example.extra.get("words", "characters"))


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
