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
        return re.compile(literals[0] + "".join(map("".join, zip(groups, literals[1:], strict=True))))

    def match(self, text: str) -> re.Match[str] | None:
        """What stands at the places, if the text is of this form."""
        first, last = self.pieces[0], self.pieces[-1]
        if not text.startswith(first) or not text.endswith(last):
            return None
        return self.pattern.fullmatch(text)


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

        A sentence may begin with a capital where its entry has none; any space is like any other.
        """
        plain = text.translate(SPACES)
        for form in dict.fromkeys((plain, plain[:1].lower() + plain[1:])):
            if form in self.exact:
                return self.exact[form], ()
            for entry in self.templates:
                if (found := entry.match(form)) is not None:
                    places = range(1, len(found.groups()) + 1)
                    return entry, tuple(text[slice(*found.span(place))] for place in places)
        return None

    def tell(self, text: str) -> str:
        found = self.find(text)
        if found is None:
            return self._by_parts(text)
        entry, given = found

        def put(place: re.Match[str]) -> str:
            return self._as(place.group(2), given[int(place.group(1))])

        hidden = BRACES.sub(lambda brace: HIDDEN[brace.group()], entry.translation)
        return shown(TARGET.sub(put, hidden))

    def _by_parts(self, text: str) -> str:
        """A sentence whose parts, between semicolons, are all known; else the text as it is."""
        parts = text.removesuffix(".").split("; ")
        if any(part == text or self.find(part) is None for part in parts):
            return text
        end = "。" if text.endswith(".") else ""
        return "；".join(map(self.tell, parts)) + end

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
