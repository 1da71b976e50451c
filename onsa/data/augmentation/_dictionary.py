"""Synonyms out of files: a table, JSON, or WordNet's own data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from onsa.errors import InputError

Dictionary = Callable[[str], tuple[str, ...]]
"""The synonyms of a word, other than itself."""

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
MARKER = re.compile(r"\((?:a|p|ip)\)$")  # of an adjective's place, in WordNet
SYNSET = re.compile(r"\d{8}-[a-z]")  # a first cell in the Open Multilingual Wordnet's tables
MOST_BYTES = 200_000_000


def read_dictionary(path: str, base_folder: Path) -> Dictionary:
    """The dictionary in a file or folder.

    It is a table with a word and its synonyms in each line, set off by tabs; a .json file with a
    list of synonyms for each word; a table of the Open Multilingual Wordnet (synset, relation,
    word); or a folder with WordNet's data (index.noun, data.noun, ...).

    Raises:
        InputError: none of these, or nothing in it.
    """
    place = base_folder / Path(path).expanduser()
    if place.is_dir():
        return WordNet(place)
    try:
        if place.stat().st_size > MOST_BYTES:
            raise InputError("too large for a dictionary", where=path, way_out="give a smaller one")
        text = place.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise InputError(
            f"the dictionary cannot be read ({fault.strerror})", where=path, way_out=HOW_TO_GET_ONE
        ) from None
    except ValueError:
        raise InputError("not UTF-8", where=path, way_out="save the file as UTF-8") from None
    pairs = _from_json(text, path) if place.suffix == ".json" else _from_table(text)
    words = _known(pairs)
    if not words:
        raise InputError("no synonym in the dictionary", where=path, way_out=HOW_TO_GET_ONE)
    return lambda word: words.get(word.casefold(), ())


HOW_TO_GET_ONE = (
    "write lines of a word, a tab and its synonyms into a file, or give WordNet's folder "
    "(/usr/share/wordnet after 'apt install wordnet-base')"
)


def _known(pairs: Iterable[tuple[str, list[str]]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for word, synonyms in pairs:
        known = found.setdefault(word.casefold(), {})
        known.update((each, None) for each in synonyms if each.casefold() != word.casefold())
    return {word: tuple(synonyms) for word, synonyms in found.items() if synonyms}


def _from_json(text: str, where: str) -> Iterator[tuple[str, list[str]]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("broken JSON", where=where, way_out="mend it") from None
    if not isinstance(value, dict):
        raise InputError(
            "no object of words", where=where, way_out='write {"word": ["synonym", ...], ...}'
        )
    for word, synonyms in value.items():
        if not isinstance(synonyms, list) or not all(isinstance(each, str) for each in synonyms):
            raise InputError(
                f"{word[:40]!r} has no list of words", where=where, way_out='write ["synonym", ...]'
            )
        yield word, [each for each in synonyms if each.strip()]


def _from_table(text: str) -> Iterator[tuple[str, list[str]]]:
    synsets: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("\t") if cell.strip()]
        if len(cells) < 2 or line.startswith("#"):
            continue
        if SYNSET.fullmatch(cells[0]):
            if cells[1].split(":")[-1] == "lemma" and len(cells) > 2:
                synsets.setdefault(cells[0], []).append(cells[2].replace("_", " "))
        else:
            yield cells[0], cells[1:]
    for words in synsets.values():
        for word in words:
            yield word, words


class WordNet:
    """Synonyms by WordNet's own data files: those of a word's most frequent sense."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._senses: dict[str, tuple[int, str, int]] = {}  # occurrences, part of speech, place
        for part in PARTS_OF_SPEECH:
            with self._faults_told(f"index.{part}"):
                text = (folder / f"index.{part}").read_text(encoding="utf-8")
                for line in text.splitlines():
                    if not line.startswith(" "):  # as the licence does
                        self._add(part, line.split())

    def __call__(self, word: str) -> tuple[str, ...]:
        sense = self._senses.get(word.casefold().replace(" ", "_"))
        if sense is None:
            return ()
        _, part, place = sense
        with self._faults_told(f"data.{part}"), (self.folder / f"data.{part}").open("rb") as file:
            file.seek(place)
            cells = file.readline().decode("utf-8").split(" ")
            count = int(cells[3], 16)
        words = [MARKER.sub("", cell).replace("_", " ") for cell in cells[4 : 4 + 2 * count : 2]]
        return tuple(each for each in words if each.casefold() != word.casefold())

    def _add(self, part: str, cells: list[str]) -> None:
        """Keep the first sense, of the part of speech that occurs most (wndb(5WN))."""
        senses = int(cells[2])
        occurrences, first = int(cells[-senses - 1]), int(cells[-senses])
        known = self._senses.get(cells[0])
        if known is None or occurrences > known[0]:
            self._senses[cells[0]] = (occurrences, part, first)

    @contextmanager
    def _faults_told(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, IndexError):
            raise InputError(
                f"no WordNet: {name} cannot be read", where=self.folder, way_out=HOW_TO_GET_ONE
            ) from None
