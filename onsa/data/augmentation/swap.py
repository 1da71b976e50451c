"""Some words change places (EDA's random swap, arXiv:1901.11196)."""

from __future__ import annotations

import random

from onsa.data.augmentation._edit import Edit, Tools, word_by_word
from onsa.data.augmentation._pieces import Piece, few, free_places


def change(
    pieces: list[Piece], share: float, chance: random.Random, tools: Tools
) -> list[Piece] | None:
    places = free_places(pieces)
    if len({pieces[place].text for place in places}) < 2:
        return None
    changed = list(pieces)
    for _ in range(few(share, len(places))):
        one, other = chance.sample(places, 2)
        changed[one], changed[other] = changed[other], changed[one]
    return changed


EDIT = Edit(
    name="swap",
    summary="two words change places, as often as a share of the words",
    rewrite=word_by_word(change),
)
