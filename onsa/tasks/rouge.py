"""ROUGE-L: the longest common subsequence of words, as an F-measure (Lin 2004)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from onsa.data.example import Example
from onsa.metrics.text import folded, same_text
from onsa.tasks import Kind, Rows
from onsa.tasks._extras import import_extra
from onsa.tasks._files import GenerationSettings, load_files

# Latin words and numbers as in rouge-score's own tokenizer, which drops all other writing; here
# each letter of another script counts as a word, as is usual for Japanese and Chinese.
WORD = re.compile(r"[a-z0-9]+|[^\W_]")


class Words:
    """The tokenizer that rouge-score is given."""

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(folded(text))


@cache
def _scorer() -> Any:
    return import_extra("rouge_score.rouge_scorer", "rouge-score", "text").RougeScorer(
        ["rougeL"], tokenizer=Words()
    )


def load(settings: GenerationSettings, base_folder: Path, seed: int) -> Rows:
    _scorer()  # a missing library is told now, not after hours of training
    return load_files(settings, base_folder, seed)


def score(reply: str, example: Example, settings: GenerationSettings) -> float:
    if same_text(reply, example.reply):  # also where a reference has no words at all
        return 1.0
    return float(_scorer().score(example.reply, reply)["rougeL"].fmeasure)


KIND = Kind(
    name="rouge",
    summary="ROUGE-L F-measure of the reply with the reference.",
    settings=GenerationSettings,
    load=load,
    metric="ROUGE-L",
    mode="generate",
    score=score,
)
