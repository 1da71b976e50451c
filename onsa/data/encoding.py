"""From conversations to ids and labels: only replies are trained, their end token with them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from onsa.data.encoded import UNTRAINED, Encoded
from onsa.data.example import Example
from onsa.data.head_inputs import encode_for_a_head
from onsa.data.rendering import Rendered, end_tokens, render, render_row
from onsa.data.token_cache import Row, TokenCache
from onsa.errors import InputError
from onsa.files import digest_of_json
from onsa.models.tokenizer import identity

AT_ONCE = 1000  # rows that are rendered and tokenised together
ROWS_A_FILE = 20_000  # of the cache
LEAST_CACHED = 1000  # fewer rows are encoded sooner than a person notices

Truncation = Literal["right", "left"]


class Encoder:
    """A tokenizer with its chat template and a length limit; equal digests encode equally.

    `truncation` says which end of a longer row is lost. `cache` keeps rows from one process to the
    next.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        truncation: Truncation = "right",
        cache: TokenCache | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.truncation = truncation
        self.cache = cache
        self.end_tokens = end_tokens(tokenizer)
        vocabulary = hashlib.sha256(identity(tokenizer).encode()).hexdigest()
        left = ["left"] if truncation == "left" else []
        self.digest = digest_of_json([vocabulary, tokenizer.chat_template, max_length, *left])
        self._known: dict[int, tuple[Example, Encoded]] = {}  # holds the example: ids are reused

    def encode(self, example: Example) -> Encoded:
        if id(example) not in self._known:
            self._known[id(example)] = example, encode(example, self)
        return self._known[id(example)][1]

    def encode_all(self, examples: Sequence[Example]) -> list[Encoded]:
        """The same as `encode` of each, several times as quick: many rows at once, and those that
        an earlier process has encoded are read back."""
        unknown = list({id(row): row for row in examples if id(row) not in self._known}.values())
        cache = self.cache if len(unknown) >= LEAST_CACHED else None
        for at in range(0, len(unknown), ROWS_A_FILE):
            some = unknown[at : at + ROWS_A_FILE]
            for example, encoded in zip(some, encode_together(some, self, cache), strict=True):
                self._known[id(example)] = example, encoded
        return [self._known[id(row)][1] for row in examples]

    def encode_prompt(self, example: Example) -> list[int]:
        """Ids of everything before the reply, ready for generation."""
        text = render(example.prompt, self.tokenizer, True, example.extra.get("tools"))
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def encode(example: Example, encoder: Encoder) -> Encoded:
    """Ids and labels of a conversation, every reply in it trained up to and with its end token.

    Of a row with a target: what the task's head reads.

    Raises:
        InputError: nothing is left to train on, or the template ends no reply with an end token,
            or leaves out tools.
    """
    if example.target is not None:
        return encode_for_a_head(example, encoder)
    rendered = render_row(example, encoder.tokenizer)
    encoding = encoder.tokenizer(
        rendered.text, add_special_tokens=False, return_offsets_mapping=True
    )
    return _labelled(example, rendered, encoding["input_ids"], encoding["offset_mapping"], encoder)


def encode_together(
    examples: Sequence[Example], encoder: Encoder, cache: TokenCache | None = None
) -> list[Encoded]:
    """The same as `encode` of each, from the cache or with few calls of the tokenizer."""
    if any(example.target is not None for example in examples):  # a head's texts are not rendered
        return [encode(example, encoder) for example in examples]
    if cache is None:
        parts = (examples[at : at + AT_ONCE] for at in range(0, len(examples), AT_ONCE))
        return [encoded for part in parts for encoded in _encode_many(part, encoder)]
    keys = [cache.key(example) for example in examples]
    found = cache.find(keys)
    new = [row for row, key in enumerate(keys) if key not in found]
    made = dict(zip(new, encode_together([examples[row] for row in new], encoder), strict=True))
    cache.keep({keys[row]: _to_keep(encoded) for row, encoded in made.items()})
    return [
        made[row] if row in made else _kept(found[key], examples[row])
        for row, key in enumerate(keys)
    ]


def _encode_many(examples: Sequence[Example], encoder: Encoder) -> list[Encoded]:
    try:
        rendered = [render_row(example, encoder.tokenizer) for example in examples]
        encodings = encoder.tokenizer(
            [each.text for each in rendered], add_special_tokens=False, return_offsets_mapping=True
        )
        ids, offsets = encodings["input_ids"], encodings["offset_mapping"]
        return [
            _labelled(*row, encoder) for row in zip(examples, rendered, ids, offsets, strict=True)
        ]
    except InputError:  # one after another, so that the first faulty row is the one that is named
        return [encode(example, encoder) for example in examples]


def _to_keep(encoded: Encoded) -> Row:
    ids, labels = (np.asarray(each, dtype=np.int32) for each in (encoded.ids, encoded.labels))
    return Row(ids, labels != UNTRAINED, encoded.lost_tokens, encoded.cut_tokens)


def _kept(row: Row, example: Example) -> Encoded:
    labels = np.where(row.trained, row.ids, np.int32(UNTRAINED))
    ids, labels_kept = (array("i", each.tobytes()) for each in (row.ids, labels))
    return Encoded(ids, labels_kept, row.lost_tokens, row.cut_tokens, example.weight)


def _labelled(
    example: Example,
    rendered: Rendered,
    ids: list[int],
    offsets: list[tuple[int, int]],
    encoder: Encoder,
) -> Encoded:
    labels = _labels(ids, offsets, rendered.spans)
    _check_end(example, labels, encoder)
    cut = _cut(example, rendered.text, offsets, encoder)
    gone = labels[cut]
    count, lost = len(ids), len(gone) - gone.count(UNTRAINED)
    del ids[cut], labels[cut]
    # The first token is never predicted, so it never counts as trained.
    if labels[1:].count(UNTRAINED) == len(labels) - 1:
        raise InputError(
            f"no reply token is left to train on within max_length {encoder.max_length}",
            where=example.source,
            way_out=f"raise max_length (the example has {count} tokens) or shorten its prompt",
        )
    return Encoded(ids, labels, lost, len(gone), example.weight)


def _cut(example: Example, text: str, offsets: list[tuple[int, int]], encoder: Encoder) -> slice:
    """The places of a row's tokens that are too many.

    Cut from the left, what stands before the first user's words stays (the template's own marks,
    the system message), if that leaves at least half of the length for the rest.
    """
    count, most = len(offsets), encoder.max_length
    if count <= most or encoder.truncation == "right":
        return slice(most, count)
    end = _end_of_head(example, text)
    head = next((place for place, (_, stop) in enumerate(offsets) if stop > end), 0)
    head = head if 2 * head <= most else 0
    return slice(head, head + count - most)


def _end_of_head(example: Example, text: str) -> int:
    """Where the first words begin that are not a system message's."""
    place = 0
    for message in example.messages:
        words = message["content"].strip()
        found = text.find(words, place)
        if found < 0:
            return 0  # the template writes them otherwise
        if message["role"] != "system":
            return found
        place = found + len(words)
    return 0


def _labels(
    ids: list[int], offsets: list[tuple[int, int]], spans: list[tuple[int, int]]
) -> list[int]:
    labels = [UNTRAINED] * len(ids)
    place = 0
    for start, end in spans:
        while place < len(ids) and offsets[place][0] < start:
            place += 1
        while place < len(ids) and offsets[place][1] <= end and offsets[place][0] < end:
            labels[place] = ids[place]
            place += 1
    return labels


def _check_end(example: Example, labels: list[int], encoder: Encoder) -> None:
    """The last trained token must end the reply, or generation would never stop."""
    last = next((label for label in reversed(labels) if label != UNTRAINED), None)
    if last is not None and last not in encoder.end_tokens:
        raise InputError(
            f"a reply ends in {encoder.tokenizer.decode([last])!r}, not in the end token "
            f"{encoder.tokenizer.eos_token!r}: the tuned model would never stop",
            where=example.source,
            way_out="use a chat template that ends each reply with it, or 'chat_template: plain'",
        )
