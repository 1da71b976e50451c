"""Pairs that have one of their two texts in common with training rows: no twins, but no strangers.

Data sets of pairs are made so: a sentence is paired with several others. It is said, not refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onsa.data.example import Example
from onsa.data.overlap import NAMED, normalised

MASK = (1 << 64) - 1


class Texts(NamedTuple):
    """The texts of some rows: of row `places[k]` the two 64-bit hashes `hashes[k]`.

    A single text counts as both. Rows that are conversations only have none.
    """

    places: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    @classmethod
    def of(cls, rows: Sequence[Example], left_out: Collection[int] = ()) -> Texts:
        found = {
            place: text_hashes(row)
            for place, row in enumerate(rows)
            if row.extra.get("texts") and place not in left_out
        }
        hashes = np.array([(each[0], each[-1]) for each in found.values()], dtype=np.uint64)
        return cls(np.array(list(found), dtype=np.int64), hashes.reshape(-1, 2))


def text_hashes(row: Example) -> list[int]:
    """64 bits of each text of a row that has `texts`; other ones in another process."""
    return [hash(normalised(text)) & MASK for text in row.extra.get("texts", ())]


def shared_texts(
    train: Mapping[str, tuple[Sequence[Example], Texts]],
    evaluation: Sequence[Example],
    twins: Collection[int],
) -> str:
    """A sentence on the evaluation rows that share one text with training rows, by their tasks.

    `twins` are the places of those that are training rows as a whole. Empty if there are none.
    """
    asked = Texts.of(evaluation, twins)
    wanted = np.unique(asked.hashes)
    counts, pairs = {}, []
    is_shared = np.zeros(len(asked.places), dtype=bool)
    for name, (rows, texts) in train.items():
        trained = np.isin(texts.hashes, wanted).any(axis=1)
        if trained.any():
            counts[name] = int(trained.sum())
            hits = np.isin(asked.hashes, texts.hashes).any(axis=1)
            is_shared |= hits
            pairs += _pairs(rows, texts, evaluation, asked, np.flatnonzero(hits)[:NAMED])
    if not counts:
        return ""
    by_task = ", ".join(f"{name} {rows:,}" for name, rows in counts.items())
    return (
        f"{int(is_shared.sum()):,} of {len(evaluation):,} evaluation rows have one text in common "
        f"with {sum(counts.values()):,} training rows ({by_task}), such as "
        f"{', '.join(pairs[:NAMED])}"
    )


def _pairs(
    rows: Sequence[Example],
    texts: Texts,
    evaluation: Sequence[Example],
    asked: Texts,
    hits: Iterable[int],
) -> list[str]:
    """The sources of a few evaluation rows, each with the first training row that shares."""
    found = []
    for hit in hits:
        first = int(np.isin(texts.hashes, asked.hashes[hit]).any(axis=1).argmax())
        source = evaluation[asked.places[hit]].source
        found.append(f"{source} and {rows[texts.places[first]].source}")
    return found
