"""Characters that no text should have: control characters, lost ones, wrong encodings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.records import Record


class Span(NamedTuple):
    """Something found in a text: what, and from where to where."""

    kind: str
    start: int
    end: int


# Without tab, line feed, carriage return, and U+200D and U+200C, which emoji and scripts need.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
INVISIBLE = re.compile(
    "[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)
LOST = re.compile("\ufffd")

# What the bytes 0x80-0xbf of UTF-8 look like, read as Windows-1252 or Latin-1.
_TAIL = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_NO_QUOTE = "(?![‘’“”«»])"  # `café”—` is no wrong encoding
# Three and four bytes: quotes, dashes, kana, kanji, emoji. Two: Western letters.
WESTERN = re.compile(
    f"â{_TAIL}{_TAIL}|[ã-ï]{_NO_QUOTE}{_TAIL}{_TAIL}|ð{_TAIL}{_TAIL}{_TAIL}|[ÂÃ]{_NO_QUOTE}{_TAIL}"
)
# UTF-8 read as Shift-JIS: 縺, 繧 and 繝 begin every kana. Shift-JIS and EUC-JP read as Western.
JAPANESE = re.compile("(?:[縺繧繝][^\\s]{0,2}){3}|(?:[‚ƒ][^\\s\\d,]){4}|(?:[¤¥][\xa1-\xf6]){3}")


def unwanted_characters(text: str) -> list[Span]:
    """Control and invisible characters, U+FFFD, and runs that look like a wrong encoding."""
    if text.isascii() and text.isprintable():
        return []
    wrong = [] if text.isascii() else list(wrong_encodings(text))
    single = [
        Span(kind, *found.span())
        for kind, pattern in (("control", CONTROL), ("invisible", INVISIBLE), ("lost", LOST))
        for found in pattern.finditer(text)
    ]
    inside = {place for span in wrong for place in range(span.start, span.end)}
    return [*wrong, *(span for span in single if span.start not in inside)]


def wrong_encodings(text: str) -> Iterator[Span]:
    """Runs of characters that are another text's bytes."""
    for found in WESTERN.finditer(text):
        if decodes(found[0]):
            yield Span("wrong encoding", *found.span())
    for found in JAPANESE.finditer(text):
        yield Span("wrong encoding", *found.span())


def decodes(run: str) -> bool:
    """Whether the bytes that Windows-1252 or Latin-1 would have for a run are UTF-8."""
    try:
        raw = b"".join(_western_byte(character) for character in run)
        return len(raw.decode("utf-8")) < len(run)
    except UnicodeError:
        return False


def _western_byte(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:  # five bytes that Windows-1252 leaves out
        return character.encode("latin-1")


def without_control(text: str) -> str:
    """The text without control and invisible characters; bytes of a wrong encoding stay."""
    spans = [span for span in unwanted_characters(text) if span.kind in ("control", "invisible")]
    for span in sorted(spans, reverse=True, key=lambda span: span.start):
        text = text[: span.start] + text[span.end :]
    return text


class Characters:
    """Rows with characters that no text should have."""

    def __init__(self) -> None:
        self.cases = Cases()

    def look(self, record: Record) -> None:
        for text, spans in ((text, unwanted_characters(text)) for text in record.texts):
            for kind, span in first_of_each(spans).items() if spans else ():
                what = ascii(text[span.start : span.end])[1:-1]
                self.cases.add(record.source, excerpt(text, span.start, span.end), kind, what=what)

    def facts(self) -> dict[str, Any]:
        return self.cases.facts()


def first_of_each(spans: list[Span]) -> dict[str, Span]:
    """The first span of each kind."""
    found: dict[str, Span] = {}
    for span in spans:
        found.setdefault(span.kind, span)
    return found
