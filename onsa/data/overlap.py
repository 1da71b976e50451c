"""The same example in training and in evaluation: found, counted, refused; what must not be parted.

Texts are compared after Unicode NFKC, without regard to case and white space. Two examples are the
same if their prompts are (a system message included), or their prompts and replies without it; two
pairs of texts also if they are each other turned round.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onsa.data.example import Example, Message
from onsa.errors import InputError

Key = tuple[str, ...]
NAMED = 3  # pairs of sources in a message


@dataclass(frozen=True)
class Overlap:
    """The evaluation rows, by place, that are training rows too, each with its twin's source."""

    twins: dict[int, str]
    evaluated: tuple[str, ...]
    turned: int = 0  # pairs of texts that are trained in the other order alone

    @property
    def share(self) -> float:
        return len(self.twins) / len(self.evaluated) if self.evaluated else 0.0

    def __str__(self) -> str:
        pairs = [f"{self.evaluated[place]} = {twin}" for place, twin in self.twins.items()]
        more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
        turned = f", {self.turned} of them with the texts turned round" if self.turned else ""
        return (
            f"{len(self.twins)} of {len(self.evaluated)} evaluation rows are training rows too"
            f"{turned} ({', '.join(pairs[:NAMED])}{more})"
        )


def normalised(text: str) -> str:
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.casefold().split())


def prompt_key(example: Example) -> Key:
    """What two examples with the same prompt have in common."""
    return _key(example.prompt)


def example_keys(example: Example) -> tuple[Key, ...]:
    """Two examples are the same if they share one of these."""
    turns = [message for message in example.messages if message["role"] != "system"]
    keys = (("prompt", *prompt_key(example)), ("whole", *_key(turns)))
    texts = example.extra.get("texts", ())
    return (*keys, ("pair", *sorted(map(normalised, texts)))) if len(texts) == 2 else keys


def _key(messages: Iterable[Message]) -> Key:
    return tuple(text for turn in messages for text in (turn["role"], normalised(_said(turn))))


def _said(turn: Message) -> str:
    """What a turn says, and what tools it calls."""
    calls = turn.get("tool_calls")
    return f"{turn['content']} {json.dumps(calls, sort_keys=True)}" if calls else turn["content"]


def find_overlap(train: Sequence[Example], evaluation: Sequence[Example]) -> Overlap:
    trained = {key: example.source for example in train for key in example_keys(example)}
    twins, turned = {}, 0
    for place, example in enumerate(evaluation):
        shared = [key for key in example_keys(example) if key in trained]
        if shared:
            twins[place] = trained[shared[-1]]
            turned += shared[0][0] == "pair"
    return Overlap(twins, tuple(example.source for example in evaluation), turned)


def check_overlap(found: Overlap, allowed_share: float = 0.0) -> str:
    """A sentence on the evaluation rows that are training rows too, empty if there are none.

    Raises:
        InputError: their share of the evaluation rows is above `allowed_share`.
    """
    if found.share > allowed_share:
        raise InputError(
            str(found),
            way_out="take them out of one of the files, or set 'drop_overlap: true' in the task "
            "that trains them (they are left out then), or allow "
            f"'overlap_share: {found.share:.3g}'",
        )
    return str(found) if found.twins else ""


def without_overlap(train: Sequence[Example], evaluation: Sequence[Example]) -> list[Example]:
    """The training rows that are no evaluation rows."""
    evaluated = {key for example in evaluation for key in example_keys(example)}
    return [example for example in train if not evaluated & set(example_keys(example))]


def together(examples: Sequence[Example]) -> list[list[int]]:
    """Places of examples that must stay on one side of a split, in the order of their first rows.

    Those with the same prompt stay together, also where it differs in punctuation alone; those of
    one group; those made of one row (a tree of conversations, a row and what was made of it).
    """
    parent = list(range(len(examples)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[Key, int] = {}
    for place, example in enumerate(examples):
        for key in _links(example):
            parent[root(place)] = root(first.setdefault(key, place))
    groups: dict[int, list[int]] = {}
    for place in range(len(examples)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _links(example: Example) -> list[Key]:
    """What binds an example to others: it has one of these in common with them."""
    keys: list[Key] = list(example_keys(example))
    bare = tuple(
        "".join(letter for letter in text if letter.isalnum()) for text in prompt_key(example)[1::2]
    )
    named = (("bare", *bare), ("source", row_of(example)), ("group", example.group))
    return keys + [key for key in named if any(key[1:])]


def row_of(example: Example) -> str:
    """The row that an example comes from; of one that was made of another, that one's."""
    return str(example.extra.get("parent", example.source))
