"""Texts as pieces: words that an edit may touch, and what must stay as it is.

The pieces of a text, joined, are the text. Fixed are white space and punctuation, everything with a
digit in it, negations, and the words of the reply: what depends on one of them would change with
it. Japanese words are told by fugashi where it is installed, else by runs of one script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

Role = Literal["content", "function", "fixed"]

JAPANESE = re.compile(r"[\u3041-\u30ff\u3400-\u9fff々〆ｦ-ﾟ]")
WORD = re.compile(r"[^\W_]+(?:['’‐-][^\W_]+)*")
KANJI_OR_KATAKANA = re.compile(r"[\u3400-\u9fff々〆]+|[\u30a1-\u30ff]+")
SCRIPT_RUN = re.compile(rf"{KANJI_OR_KATAKANA.pattern}|(?:(?!{JAPANESE.pattern})[^\W_])+")
NEGATIONS = "not no never none nothing nobody nowhere neither nor without cannot hardly barely"
# Words that carry grammar more than meaning: they have no synonyms worth the name.
FUNCTION_WORDS = """
    a about above after again all also am an and any are as at be because been before being
    below between both but by can could did do does doing down during each few for from further
    had has have having he her here hers him his how i if in into is it its itself just me more
    most my of off on once only or other our out over own same she should so some such than that
    the their them then there these they this those through to too under until up upon us very was
    we were what when where which while who whom whose why will with would you your
    i'd i'll i'm i've it's let's that's they're we're what's you're
"""
FIXED = frozenset(NEGATIONS.split())
FUNCTION = frozenset(FUNCTION_WORDS.split())
# Parts of speech of UniDic.
JAPANESE_CONTENT = {"名詞", "動詞", "形容詞", "形状詞", "副詞", "連体詞", "感動詞"}
JAPANESE_FUNCTION = {"助詞", "代名詞", "接続詞", "接頭辞", "接尾辞"}
NEGATED_LEMMAS = {"無い", "否", "非", "不", "未", "無"}


class Piece(NamedTuple):
    text: str
    role: Role

    @property
    def free(self) -> bool:
        """Whether an edit may touch it."""
        return self.role != "fixed"


def pieces_of(text: str, protected: frozenset[str] = frozenset()) -> list[Piece]:
    """The text in pieces; words whose case-folded form is `protected` are fixed."""
    found = _japanese(text) if JAPANESE.search(text) else _spaced(text)
    return [
        piece._replace(role="fixed") if piece.text.casefold() in protected else piece
        for piece in found
    ]


def joined(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def words_in(text: str) -> frozenset[str]:
    """The words of a text, case-folded."""
    return frozenset(piece.text.casefold() for piece in pieces_of(text) if piece.text.strip())


def free_places(pieces: list[Piece], role: Role | None = None) -> list[int]:
    """Where the pieces are that may be edited, of one role or of all."""
    return [
        place for place, piece in enumerate(pieces) if piece.free and role in (None, piece.role)
    ]


def few(share: float, words: int) -> int:
    """How many of so many words an edit touches: their share, at least one (arXiv:1901.11196)."""
    return min(words, max(1, round(share * words)))


def is_segmented_roughly(texts: Iterable[str]) -> bool:
    """Whether Japanese words of the texts are told by script alone, for want of fugashi."""
    return _tagger() is None and any(JAPANESE.search(text) for text in texts)


def _spaced(text: str) -> Iterator[Piece]:
    """Words of a text that sets them off by spaces, and what is between them."""
    end = 0
    for word in WORD.finditer(text):
        if word.start() > end:
            yield Piece(text[end : word.start()], "fixed")
        yield Piece(word.group(), _role(word.group()))
        end = word.end()
    if end < len(text):
        yield Piece(text[end:], "fixed")


def _role(word: str) -> Role:
    plain = word.casefold().replace("’", "'")
    if plain in FIXED or plain.endswith("n't") or any(letter.isdigit() for letter in word):
        return "fixed"
    return "function" if plain in FUNCTION else "content"


def _japanese(text: str) -> Iterator[Piece]:
    tagger = _tagger()
    for part in re.split(r"(\s+)", text):
        if not part.strip():
            if part:
                yield Piece(part, "fixed")
        elif tagger is not None:
            yield from _tagged(part, tagger)
        else:
            yield from _by_script(part)


def _tagged(part: str, tagger: Any) -> Iterator[Piece]:
    words = [(str(word.surface), word.feature) for word in tagger(part)]
    if "".join(surface for surface, _ in words) != part:  # a control character, perhaps
        yield Piece(part, "fixed")
        return
    for surface, feature in words:
        yield Piece(surface, _japanese_role(surface, feature))


def _japanese_role(surface: str, feature: Any) -> Role:
    if WORD.fullmatch(surface) and not JAPANESE.search(surface):
        return _role(surface)  # UniDic takes an English word for a noun
    has_digit = any(letter.isdigit() for letter in surface) or feature.pos2 == "数詞"
    if has_digit or feature.lemma in NEGATED_LEMMAS:
        return "fixed"
    if feature.pos1 in JAPANESE_CONTENT:
        return "content"
    return "function" if feature.pos1 in JAPANESE_FUNCTION else "fixed"


def _by_script(part: str) -> Iterator[Piece]:
    """Runs of kanji and of katakana as words; hiragana, mostly grammar, is fixed."""
    end = 0
    for run in SCRIPT_RUN.finditer(part):
        if run.start() > end:
            yield Piece(part[end : run.start()], "fixed")
        word = run.group()
        yield Piece(word, "content" if KANJI_OR_KATAKANA.fullmatch(word) else _role(word))
        end = run.end()
    if end < len(part):
        yield Piece(part[end:], "fixed")


@cache
def _tagger() -> Any:
    """fugashi's tagger with UniDic; None where they are not installed."""
    if find_spec("fugashi") is None or find_spec("unidic_lite") is None:
        return None
    import fugashi

    return fugashi.Tagger()
