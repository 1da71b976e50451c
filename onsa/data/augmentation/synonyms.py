"""Some words become synonyms (EDA's synonym replacement, arXiv:1901.11196)."""

from __future__ import annotations

import random

from onsa.data.augmentation._edit import Edit, Tools, word_by_word
from onsa.data.augmentation._pieces import Piece, few, free_places


def change(
    pieces: list[Piece], share: float, chance: random.Random, tools: Tools
) -> list[Piece] | None:
    words = free_places(pieces)
    known = {
        place: found
        for place in free_places(pieces, "content")
        if (found := tools.dictionary(pieces[place].text))
    }
    if not known:
        return None
    changed = list(pieces)
    for place in chance.sample(sorted(known), min(len(known), few(share, len(words)))):
        synonym = chance.choice(known[place])
        changed[place] = Piece(_as_written(pieces[place].text, synonym), "content")
    return changed


def _as_written(word: str, synonym: str) -> str:
    """The synonym with a capital where the word has one."""
    return synonym[0].upper() + synonym[1:] if word[0].isupper() else synonym


EDIT = Edit(
    name="synonyms",
    summary="a share of the words becomes synonyms (needs 'dictionary')",
    rewrite=word_by_word(change),
    needs_dictionary=True,
)
