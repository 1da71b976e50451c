"""chrF (Popović 2015) by sacrebleu: n-grams of characters that reply and reference share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from onsa.data.example import Example
from onsa.extras import import_extra
from onsa.metrics.intervals import Measures
from onsa.tasks import Kind, Rows
from onsa.tasks._files import GenerationSettings, load_files
from onsa.tasks._sacrebleu import corpus, of_a_row, signature


class Chrf(GenerationSettings):
    word_order: int = Field(
        0, ge=0, le=4, description="n-grams of words beside those of characters; 2 is chrF++"
    )
    ignore_case: bool = Field(False, description="'Yes' and 'yes' are the same")


def load(settings: Chrf, base_folder: Path, seed: int) -> Rows:
    _metric(settings.word_order, settings.ignore_case)  # a missing library is told now
    return load_files(settings, base_folder, seed)


def score(reply: str, example: Example, settings: Chrf) -> float:
    return of_a_row(_metric(settings.word_order, settings.ignore_case), reply, example)


def measures(replies: Sequence[str], examples: Sequence[Example], settings: Chrf) -> Measures:
    metric = _metric(settings.word_order, settings.ignore_case)
    return corpus(metric, _name(settings), replies, examples)


def how(settings: Chrf, examples: Sequence[Example]) -> str:
    told = signature(_metric(settings.word_order, settings.ignore_case))
    return f"{_name(settings)} of the corpus, by sacrebleu: {told}."


def _name(settings: Chrf) -> str:
    return "chrF" + "+" * min(2, settings.word_order)


@cache
def _metric(word_order: int, ignore_case: bool) -> Any:
    library = import_extra("sacrebleu", "sacrebleu", "text")
    return library.CHRF(word_order=word_order, lowercase=ignore_case)


KIND = Kind(
    name="chrf",
    summary="chrF by sacrebleu: n-grams of characters shared with the reference; any language.",
    settings=Chrf,
    load=load,
    metric="sentence chrF",
    mode="generate",
    score=score,
    measures=measures,
    how=how,
)
