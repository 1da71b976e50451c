"""Rows told apart by 64-bit hashes, and named by their sources in few bytes.

Two different texts of a million share a hash with a probability of 3e-8.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from onsa.data.overlap import example_keys, normalised, prompt_key
from onsa.inspection.records import Record

ALL_BITS = (1 << 64) - 1


def hash_of(texts: Iterable[str]) -> int:
    """64 bits of the texts, in their order; other ones in another process.

    Python's own hash (SipHash, with a secret key) is fast, and no file can be made to collide.
    """
    return hash("\x1f".join(texts)) & ALL_BITS


def row_keys(record: Record) -> tuple[int, int]:
    """Hashes of a row's prompts (system messages with them) and of its replies.

    Texts are compared after NFKC, without regard to case and white space. A row without examples
    is a prompt without a reply.
    """
    if not record.examples:
        return hash_of(map(normalised, record.texts)), 0
    prompts = (part for example in record.examples for part in prompt_key(example))
    return hash_of(prompts), hash_of(normalised(example.reply) for example in record.examples)


def overlap_keys(record: Record) -> list[int]:
    """Two rows are the same for training and evaluation if they share one of these."""
    if not record.examples:
        return [row_keys(record)[0]]
    return [hash_of(key) for example in record.examples for key in example_keys(example)]


class Sources:
    """The sources of all rows so far (`train.jsonl:17`), at 12 bytes a row."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._known: list[str] = []
        self._name = array("L")
        self._number = array("q")  # -1: the source has none

    def __len__(self) -> int:
        return len(self._name)

    def add(self, source: str) -> int:
        """The place of a source from now on."""
        name, colon, number = source.rpartition(":")
        is_plain = bool(colon) and number.isascii() and number.isdigit() and len(number) < 16
        name = name if is_plain and number == str(int(number)) else source
        if name not in self._names:
            self._names[name] = len(self._known)
            self._known.append(name)
        self._name.append(self._names[name])
        self._number.append(int(number) if name != source else -1)
        return len(self._name) - 1

    def __getitem__(self, place: int) -> str:
        name, number = self._known[self._name[place]], self._number[place]
        return name if number < 0 else f"{name}:{number}"
