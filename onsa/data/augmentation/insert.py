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
    between = "" if any(JAPANESE.search(piece.text) for piece in pieces) else " "
    before: dict[int, str] = {}
    for _ in range(few(share, len(places))):
        place = chance.choice(places)
        synonym = chance.choice(chance.choice(known))
        before[place] = before.get(place, "") + synonym + between
    return [
        part
        for place, piece in enumerate(pieces)
        for part in ([Piece(before[place], "content")] if place in before else []) + [piece]
    ]


EDIT = Edit(
    name="insert",
    summary="synonyms of a share of the words are put in elsewhere (needs 'dictionary')",
    rewrite=word_by_word(change),
    needs_dictionary=True,
)
