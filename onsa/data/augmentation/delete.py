"""Some words are left out (EDA's random deletion, arXiv:1901.11196)."""

from __future__ import annotations

import random

from onsa.data.augmentation._edit import Edit, Tools, word_by_word
from onsa.data.augmentation._pieces import Piece, free_places


def change(
    pieces: list[Piece], share: float, chance: random.Random, tools: Tools
) -> list[Piece] | None:
    """Each word goes with the probability `share`; at least one goes, and one stays."""
    places = free_places(pieces)
    if len(places) < 2:
        return None
    gone = {place for place in places if chance.random() < share} or {chance.choice(places)}
    if len(gone) == len(places):
        gone.remove(chance.choice(places))
    last = len(pieces) - 1
    for place in sorted(gone):  # and the space behind it, or before it at the end
        space = place - 1 if place == last else place + 1
        if pieces[space].text == " ":
            gone.add(space)
    return [piece for place, piece in enumerate(pieces) if place not in gone]


EDIT = Edit(
    name="delete",
    summary="each word is left out with this probability",
    rewrite=word_by_word(change),
)
