"""Texts that are nearly the same: MinHash with locality-sensitive hashing, by `datasketch`.

A text is compared with those that share one of `BANDS` parts of its signature: 95 of 100 of those
at a similarity of 0.8, all but one in 8000 at 0.9 (Leskovec and others, Mining of Massive Datasets,
chapter 3). The estimate then decides, and is as often above 0.8 as below where 0.8 is true.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from onsa.data.overlap import normalised
from onsa.extras import import_extra
from onsa.inspection.keys import hash_of
from onsa.inspection.records import Record
from onsa.inspection.shingles import NUMBERS, Numbers, shingles, signature

LEAST_SIMILARITY = 0.8
BANDS, BAND_NUMBERS = 16, 8
MOST_ROWS = 30_000  # that are compared unless more is asked for
MOST_COMPARISONS = 400  # a row on average: above that, texts are too alike to be searched
LEAST_COUNTED = 5_000  # rows, for that average
SHORT_REPLY = 40  # characters; where a short reply differs, the example is another one


class Near(NamedTuple):
    """The row most like another, and how much."""

    place: int
    similarity: float


class NearIndex:
    """Texts by signature; 6 to 7 KiB each."""

    def __init__(self, most_rows: int | None = MOST_ROWS) -> None:
        """`most_rows` is the number of texts that are looked at, None for all.

        Raises:
            InputError: datasketch is not installed.
        """
        self._sketch: Any = import_extra("datasketch", "datasketch", "data")
        params = (BANDS, BAND_NUMBERS)
        self._index: Any = self._sketch.MinHashLSH(num_perm=NUMBERS, params=params)
        self._places: list[int] = []
        self._replies: list[int] = []
        self._signatures = np.zeros((1024, NUMBERS), dtype=np.uint32)
        self.most_rows = most_rows
        self.looked_at = 0
        self.comparisons = 0

    @property
    def stop(self) -> str:
        """Why no more texts are looked at, or nothing."""
        if self.most_rows is not None and self.looked_at >= self.most_rows:
            return f"only the first {self.most_rows:,} rows were searched; --near all searches all"
        if self.comparisons > MOST_COMPARISONS * max(self.looked_at, LEAST_COUNTED):
            return (
                f"only the first {self.looked_at:,} rows were searched: they share so much text "
                "that nearly each would be compared with each"
            )
        return ""

    def find(self, text: str, reply: str) -> Near | None:
        """The indexed text most like this one, if it is like enough."""
        self.looked_at += 1
        found = shingles(text)
        return self._nearest(signature(found), short_reply(reply)) if len(found) else None

    def add(self, text: str, reply: str, place: int) -> None:
        self._add(signature(shingles(text)), short_reply(reply), place)

    def find_or_add(self, text: str, reply: str, place: int) -> Near | None:
        """Like `find`; where there is none, the text is in the index from now on."""
        self.looked_at += 1
        found, own = shingles(text), short_reply(reply)
        if len(found) == 0:
            return None
        made = signature(found)
        near = self._nearest(made, own)
        if near is None:
            self._add(made, own, place)
        return near

    def _nearest(self, made: Numbers, reply: int) -> Near | None:
        entries = self._index.query(self._as_minhash(made))
        self.comparisons += len(entries)
        entries = sorted(entry for entry in entries if self._replies[entry] == reply)
        if not entries:
            return None
        similar = (self._signatures[entries] == made).mean(axis=1)
        best = int(similar.argmax())  # the first of several
        if similar[best] < LEAST_SIMILARITY:
            return None
        return Near(self._places[entries[best]], float(similar[best]))

    def _add(self, made: Numbers, reply: int, place: int) -> None:
        entry = len(self._places)
        if entry == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[entry] = made
        self._places.append(place)
        self._replies.append(reply)
        self._index.insert(entry, self._as_minhash(made), check_duplication=False)

    def _as_minhash(self, made: Numbers) -> Any:
        return self._sketch.LeanMinHash(seed=1, hashvalues=made, scheme="affine32")


def short_reply(reply: str) -> int:
    """A hash of a short reply, 0 for all longer ones."""
    return hash_of([normalised(reply)]) if 0 < len(reply) < SHORT_REPLY else 0


def shown_text(record: Record) -> str:
    """What near duplicates are told by: all that is said, without system messages."""
    if not record.examples:
        return record.text
    turns = (turn for each in record.examples for turn in each.messages if turn["role"] != "system")
    return "\n".join(dict.fromkeys(turn["content"] for turn in turns))


def asked_text(record: Record) -> str:
    """What training and evaluation are compared by: the same without replies at the end."""
    if not record.examples:
        return record.text
    turns = (turn for each in record.examples for turn in each.prompt if turn["role"] != "system")
    return "\n".join(dict.fromkeys(turn["content"] for turn in turns))
