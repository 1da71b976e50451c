r"""A catalogue: English templates and what they read like in another language.

A key has `{}` for what only the run knows, `{#}` where that must be a number, and `{{` for a brace.
Its translation places them by number, in any order, and says what they are:

    {0}        a name or number, as it is
    {0:tell}   a text with an entry of its own
    {0:list}   names: `a, b and c`             {0:texts}  a list of texts, each told
    {0:choice} names: `a or b`
    {0:parts}  texts parted by semicolons      {0:fault}  a whole mistake: `where: what; way out`
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PLACE = re.compile(r"\{(#?)\}")
BRACES = re.compile(r"\{\{|\}\}")
TARGET = re.compile(r"\{(\d+)(?::(\w+))?\}")
NUMBER = r"[-−+±×~≈]?\s?[\d.,]+(?:e[-+]?\d+)?(?:\s?(?:%|[kMGTP]|[KMG]?i?B|h|min|s|Wh))*|–"
SPACES = {ord(space): " " for space in "\u00a0\u202f"}
JAPANESE = re.compile("[\u3040-\u30ff\u3400-\u9fff々〆〇]")  # letters, without punctuation
LOOSE = 24  # letters of a template, below which it might fit another sentence by chance
SENTENCE = re.compile(r"[a-z]+(?: [a-z]+){3}")
HIDDEN = {"{{": "\ue000", "}}": "\ue001"}  # braces that are meant, while the places are found


@dataclass(frozen=True)
class Entry:
    """One template with its translation."""

    key: str
    translation: str

    @cached_property
    def pieces(self) -> list[str]:
        """The literal text around the places, and between them `#` or nothing for each place."""
        hidden = BRACES.sub(lambda found: HIDDEN[found.group()], self.key)
        return [shown(piece) for piece in PLACE.split(hidden)]

    @cached_property
    def literal(self) -> int:
        return sum(map(len, self.pieces[::2]))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        groups = [f"({NUMBER})" if kind else "(.+?)" for kind in self.pieces[1::2]]
        literals = [re.escape(piece) for piece in self.pieces[::2]]
        return re.compile(
            literals[0] + "".join(map("".join, zip(groups, literals[1:], strict=True)))
        )

    @cached_property
    def kinds(self) -> Mapping[int, str]:
        """What the places hold, by their number; those that are as they are, are not in it."""
        found = TARGET.finditer(BRACES.sub("", self.translation))
        return {int(place.group(1)): place.group(2) for place in found if place.group(2)}

    def match(self, text: str) -> re.Match[str] | None:
        """What stands at the places, if the text is of this form."""
        first, last = self.pieces[0], self.pieces[-1]
        if not text.startswith(first) or not text.endswith(last):
            return None
        found = self.pattern.fullmatch(text)
        return found if found and self._is_likely(found) else None

    def _is_likely(self, found: re.Match[str]) -> bool:
        """Names and numbers are short: half a sentence in their place is another sentence."""
        for place, given in enumerate(found.groups()):
            kind = self.kinds.get(place)
            if kind in (None, "tell") and "; " in given:
                return False
            if kind is None and self.literal < LOOSE and SENTENCE.search(given):
                return False
        return True


def shown(piece: str) -> str:
    return piece.replace("\ue000", "{").replace("\ue001", "}")


@dataclass(frozen=True)
class Catalogue:
    """All entries of a language."""

    language: str
    entries: tuple[Entry, ...]

    @cached_property
    def exact(self) -> Mapping[str, Entry]:
        return {entry.pieces[0]: entry for entry in self.entries if len(entry.pieces) == 1}

    @cached_property
    def templates(self) -> list[Entry]:
        """Those with places; the most literal text comes first."""
        found = [entry for entry in self.entries if len(entry.pieces) > 1]
        return sorted(found, key=lambda entry: -entry.literal)

    def find(self, text: str) -> tuple[Entry, tuple[str, ...]] | None:
        """The entry that says most of the text, and what stands at its places.

        Whether it begins with a capital says nothing, and any space is like any other.
        """
        plain = text.translate(SPACES)
        first, rest = plain[:1], plain[1:]
        for form in dict.fromkeys((plain, first.lower() + rest, first.upper() + rest)):
            if form in self.exact:
                return self.exact[form], ()
            for entry in self.templates:
                if (found := entry.match(form)) is not None:
                    places = range(1, len(found.groups()) + 1)
                    return entry, tuple(text[slice(*found.span(place))] for place in places)
        return None

    def tell(self, text: str) -> str:
        """The text in the language; as it is where there is no entry for it."""
        found = self.find(text)
        if found is None:
            end = "。" if text.endswith(".") else ""
            return "。".join(map(self.tell, self.parts(text))) + end if self.parts(text) else text
        entry, given = found
        hidden = BRACES.sub(lambda brace: HIDDEN[brace.group()], entry.translation)
        said = ""
        for piece, number, kind in pieces_of(hidden):
            said = spaced(said, shown(piece) if number is None else self._as(kind, given[number]))
        return said

    def parts(self, text: str) -> list[str]:
        """What stands between semicolons and before the full stop, where each has an entry."""
        parts = text.removesuffix(".").split("; ")
        return [] if any(self.find(part) is None for part in parts) else parts

    def fault(self, where: str, what: str, way_out: str) -> str:
        line = self.tell(what)
        if where:
            line = f"{self.tell(where)}: {line}"
        return f"{line.rstrip('。')}。{self.tell(way_out)}" if way_out else line

    def _as(self, kind: str | None, text: str) -> str:
        if kind == "tell":
            return self.tell(text)
        if kind == "list":
            return "、".join(listed(text))
        if kind == "choice":
            return "、".join(text.split(" or "))
        if kind == "texts":
            return "、".join(self.tell(each) for each in listed(text))
        if kind == "parts":
            return "；".join(self.tell(each) for each in text.split("; "))
        if kind == "fault":
            return self._fault_in(text)
        return text

    def _fault_in(self, text: str) -> str:
        """A mistake that stands as one line in a longer text; what is not known stays as it is."""
        for where, what, way_out in splits(text):
            if self.find(what) is not None:
                return self.fault(where, what, way_out)
        return text


def pieces_of(translation: str) -> Iterator[tuple[str, int | None, str | None]]:
    """Literal texts, and places by their number and kind, in turn."""
    end = 0
    for place in TARGET.finditer(translation):
        yield translation[end : place.start()], None, None
        yield "", int(place.group(1)), place.group(2)
        end = place.end()
    yield translation[end:], None, None


def spaced(before: str, after: str) -> str:
    """Both in a row, with a space between Japanese and Latin, and none within Japanese."""
    left, right = before.rstrip(" "), after.lstrip(" ")
    if not left or not right:
        return before + after
    meeting = (bool(JAPANESE.match(left[-1])), bool(JAPANESE.match(right[0])))
    if meeting == (True, True):
        return left + right
    if True in meeting and (left[-1] if meeting[1] else right[0]).isalnum():
        return f"{left} {right}"
    return before + after


def listed(text: str) -> list[str]:
    """`a, b and c` in parts; what stands in brackets is one."""
    return re.split(r"(?:, | and )(?![^()]*\))", text)


def splits(text: str) -> Iterator[tuple[str, str, str]]:
    """The ways to read a line as place, mistake and way out, each of which may hold the marks."""
    ends = [len(text), *(found.start() for found in re.finditer("; ", text))]
    starts = [0, *(found.end() for found in re.finditer(": ", text))]
    for end in ends:
        for start in starts:
            if start < end:
                yield text[: max(0, start - 2)], text[start:end], text[end + 2 :]


def load(language: str) -> Catalogue:
    """The catalogue in the files of `onsa/language/<language>/`."""
    folder = Path(__file__).parent / language
    entries: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        entries.update(json.loads(path.read_text(encoding="utf-8")))
    return Catalogue(language, tuple(Entry(key, said) for key, said in entries.items()))
