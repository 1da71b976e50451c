"""Texts as words, in Japanese too, where no spaces tell them apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

from onsa.data.example import Example
from onsa.extras import import_extra
from onsa.metrics.text import folded

Script = Literal["japanese", "chinese", "other"]
Words = Literal["auto", "japanese", "characters"]

KANA = re.compile(r"[\u3041-\u30ff]")
HAN = re.compile(r"[\u4e00-\u9fff]")
# Latin words and numbers as in rouge-score's own tokenizer, which drops all other writing; here
# each letter of another script counts as a word, as is usual for Japanese and Chinese.
LETTERS = re.compile(r"[a-z0-9]+|[^\W_]")
JAPANESE = r"[\u3005-\u3007\u3041-\u30ff\u4e00-\u9fff]+"
RUNS = re.compile(rf"(?P<japanese>{JAPANESE})|[a-z0-9]+|[^\W_]")


def script_of(examples: Sequence[Example]) -> Script:
    """What most references are written in; characters that Chinese shares are told by kana."""
    kana = sum(bool(KANA.search(example.reply)) for example in examples)
    han = sum(bool(HAN.search(example.reply)) for example in examples)
    if 2 * max(kana, han) <= len(examples):
        return "other"
    return "japanese" if 10 * kana >= len(examples) else "chinese"


def chosen_words(wanted: Words, examples: Sequence[Example]) -> Literal["japanese", "characters"]:
    """How texts are parted: `auto` takes Japanese words where the references are Japanese and
    fugashi is installed.

    Raises:
        InputError: Japanese words are asked for, and fugashi is not there.
    """
    if wanted == "japanese":
        _tagger()
    if wanted != "auto":
        return wanted
    is_ready = all(find_spec(name) for name in ("fugashi", "unidic_lite"))
    return "japanese" if is_ready and script_of(examples) == "japanese" else "characters"


def words_of(text: str, parted: str) -> list[str]:
    """Words in lower case and Unicode NFKC, without punctuation."""
    text = folded(text)
    if parted != "japanese":
        return LETTERS.findall(text)
    words: list[str] = []
    for run in RUNS.finditer(text):
        words += _japanese(run[0]) if run["japanese"] else [run[0]]
    return words


def about_words(parted: str) -> str:
    """What a reader must know of it."""
    if parted == "japanese":
        library = import_extra("importlib.metadata", "fugashi", "ja")
        versions = ", ".join(
            f"{name} {library.version(name)}" for name in ("fugashi", "unidic-lite")
        )
        return f"Japanese in words by {versions}"
    return "words by white space and punctuation; each letter of a script without spaces is one"


def _japanese(text: str) -> list[str]:
    return [word.surface for word in _tagger()(text)]


@cache
def _tagger() -> Any:
    import_extra("unidic_lite", "unidic-lite", "ja")
    return import_extra("fugashi", "fugashi", "ja").Tagger()
