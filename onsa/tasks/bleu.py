"""BLEU (Papineni et al. 2002) by sacrebleu: n-grams of words that reply and reference share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from onsa.data.example import Example
from onsa.extras import import_extra, missing_extra
from onsa.metrics.intervals import Measures
from onsa.tasks import Kind, Rows
from onsa.tasks._files import GenerationSettings, load_files
from onsa.tasks._sacrebleu import corpus, of_a_row, signature
from onsa.tasks._words import script_of

Tokenizer = Literal["auto", "13a", "intl", "zh", "ja-mecab", "char", "none"]


class Bleu(GenerationSettings):
    tokenize: Tokenizer = Field(
        "auto",
        description="sacrebleu's tokenizer; auto: 13a, zh for Chinese, ja-mecab for Japanese, or "
        "char where MeCab is not installed",
    )
    ignore_case: bool = Field(False, description="'Yes' and 'yes' are the same")


def load(settings: Bleu, base_folder: Path, seed: int) -> Rows:
    import_extra("sacrebleu", "sacrebleu", "text")  # a missing library is told now, not after hours
    if settings.tokenize == "ja-mecab" and not _has_mecab():
        raise missing_extra("mecab-python3 and ipadic", "ja")
    rows = load_files(settings, base_folder, seed)
    tokenizer: str = settings.tokenize
    if tokenizer == "auto":
        japanese = "ja-mecab" if _has_mecab() else "char"
        tokenizer = {"japanese": japanese, "chinese": "zh"}.get(script_of(rows.evaluation), "13a")
    if settings.tokenize == "auto" and tokenizer == "char":
        note = "BLEU takes Japanese by characters: pip install 'onsa[ja]' for MeCab's words"
        rows = rows._replace(notes=(*rows.notes, note))
    return rows._replace(settings=settings.model_copy(update={"tokenize": tokenizer}))


def score(reply: str, example: Example, settings: Bleu) -> float:
    return of_a_row(_metric(settings.tokenize, settings.ignore_case, True), reply, example)


def measures(replies: Sequence[str], examples: Sequence[Example], settings: Bleu) -> Measures:
    metric = _metric(settings.tokenize, settings.ignore_case, False)
    return corpus(metric, "BLEU", replies, examples)


def how(settings: Bleu, examples: Sequence[Example]) -> str:
    told = signature(_metric(settings.tokenize, settings.ignore_case, False))
    return f"BLEU of the corpus, by sacrebleu: {told}; of single sentences with effective order."


@cache
def _metric(tokenize: str, ignore_case: bool, of_sentences: bool) -> Any:
    return import_extra("sacrebleu", "sacrebleu", "text").BLEU(
        tokenize="13a" if tokenize == "auto" else tokenize,
        lowercase=ignore_case,
        effective_order=of_sentences,
        force=True,
    )


def _has_mecab() -> bool:
    return all(find_spec(name) for name in ("MeCab", "ipadic"))


KIND = Kind(
    name="bleu",
    summary="BLEU by sacrebleu: n-grams of words shared with the reference.",
    settings=Bleu,
    load=load,
    metric="sentence BLEU",
    mode="generate",
    score=score,
    measures=measures,
    how=how,
)
