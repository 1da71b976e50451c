"""What an edit is: a file in this folder holds one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from onsa.data.augmentation._dictionary import Dictionary
from onsa.data.augmentation._pieces import Piece, joined, pieces_of
from onsa.settings import Share


class Job(NamedTuple):
    """A text to be written anew: chance of its own, and words that must stay."""

    text: str
    chance: random.Random
    protected: frozenset[str]


class Tools(NamedTuple):
    """What edits may need."""

    base_folder: Path
    dictionary: Dictionary


@dataclass(frozen=True)
class Edit:
    """A way of making new texts of texts.

    `rewrite(jobs, setting, tools)` gives for each job the new text, or None where nothing can be
    changed; `setting` is what the recipe says beside the edit's name, of the type `type`.
    """

    name: str
    summary: str
    rewrite: Callable[[Sequence[Job], Any, Tools], list[str | None]]
    type: Any = Share
    needs_dictionary: bool = False


Change = Callable[[list[Piece], float, random.Random, Tools], list[Piece] | None]


def word_by_word(change: Change) -> Callable[[Sequence[Job], Any, Tools], list[str | None]]:
    """The `rewrite` of an edit that changes a share of a text's words."""

    def rewrite(jobs: Sequence[Job], share: Any, tools: Tools) -> list[str | None]:
        made: list[str | None] = []
        for job in jobs:
            pieces = change(pieces_of(job.text, job.protected), share, job.chance, tools)
            made.append(None if pieces is None else joined(pieces))
        return made

    return rewrite
