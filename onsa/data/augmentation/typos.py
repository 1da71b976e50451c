"""Slips of the keyboard in some words: what people type is not what models read (arXiv:1711.02173).

Words of Latin, Greek and Cyrillic letters have them; Japanese ones are typed otherwise.
"""

from __future__ import annotations

import random
import unicodedata

from onsa.data.augmentation._edit import Edit, Tools, word_by_word
from onsa.data.augmentation._pieces import Piece, few, free_places

SHORTEST = 4  # letters of a word that is still told after a slip
ALPHABETS = ("LATIN", "GREEK", "CYRILLIC")


def change(
    pieces: list[Piece], share: float, chance: random.Random, tools: Tools
) -> list[Piece] | None:
    words = free_places(pieces)
    places = [place for place in words if _can_slip(pieces[place].text)]
    if not places:
        return None
    changed = list(pieces)
    for place in chance.sample(places, min(len(places), few(share, len(words)))):
        changed[place] = Piece(_slip(pieces[place].text, chance), pieces[place].role)
    return changed


def _can_slip(word: str) -> bool:
    return len(word) >= SHORTEST and all(
        unicodedata.name(letter, "").startswith(ALPHABETS) for letter in word
    )


def _slip(word: str, chance: random.Random) -> str:
    """Two letters in the wrong order, one lost or one doubled; the first and the last stay."""
    place = chance.randrange(1, len(word) - 2)
    before, letter, after, rest = word[:place], word[place], word[place + 1], word[place + 2 :]
    kinds = [before + after + rest, before + letter * 2 + after + rest]
    if letter != after:
        kinds.append(before + after + letter + rest)
    return chance.choice(kinds)


EDIT = Edit(
    name="typos",
    summary="a share of the words gets a slip of the keyboard",
    rewrite=word_by_word(change),
)
