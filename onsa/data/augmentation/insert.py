"""Synonyms of some words are put in elsewhere (EDA's random insertion, arXiv:1901.11196)."""

from __future__ import annotations

import random

from onsa.data.augmentation._edit import Edit, Tools, word_by_word
from onsa.data.augmentation._pieces import JAPANESE, Piece, few, free_places


def change(
    pieces: list[Piece], share: float, chance: random.Random, tools: Tools
) -> list[Piece] | None:
    places = free_places(pieces)
    known = [
        found
        for place in free_places(pieces, "content")
        if (found := tools.dictionary(pieces[place].text))
    ]
    if not known:
        return None
    before: dict[int, list[str]] = {}
    for _ in range(few(share, len(places))):
        place = chance.choice(places)
        before.setdefault(place, []).append(chance.choice(chance.choice(known)))
    changed = [*pieces]
    for place in sorted(before, reverse=True):
        for synonym in before[place]:
            changed.insert(place, Piece(_apart(changed, place, synonym), "content"))
    return changed


def _apart(pieces: list[Piece], place: int, word: str) -> str:
    """The word with the spaces that keep it apart from what it comes between."""
    before = pieces[place - 1].text[-1:] if place else ""
    after = pieces[place].text[:1]
    return (
        (" " if _run_together(before, word[0]) else "")
        + word
        + (" " if _run_together(word[-1], after) else "")
    )


def _run_together(one: str, other: str) -> bool:
    return (one + other).isalnum() and bool(one) and not JAPANESE.search(one + other)


EDIT = Edit(
    name="insert",
    summary="synonyms of a share of the words are put in elsewhere (needs 'dictionary')",
    rewrite=word_by_word(change),
    needs_dictionary=True,
)
