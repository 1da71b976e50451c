"""What the head of a task reads: a text, a pair, or two conversations."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from onsa.data.encoded import Encoded
from onsa.data.example import Example, Message
from onsa.data.rendering import render
from onsa.errors import InputError

if TYPE_CHECKING:
    from onsa.data.encoding import Encoder, Truncation

SLOW = logging.getLogger("transformers.tokenization_python")


def encode_for_a_head(example: Example, encoder: Encoder) -> Encoded:
    """The ids of what a head reads: as plain transformers encodes a text or a pair.

    A tokenizer without a form for pairs (most causal models') gets both as one text. Of a ranking
    it is the whole conversation, with the reply that is liked and with the other one.
    """
    if "rejected" in example.extra:
        other = {**example.messages[-1], "content": example.extra["rejected"]}
        liked, rejected = (
            _conversation_ids((*example.prompt, reply), example.extra.get("tools"), encoder)
            for reply in (example.messages[-1], other)
        )
        limit = encoder.max_length
        lost = max(0, len(liked) - limit) + max(0, len(rejected) - limit)
        # Cut on the left: what tells the replies apart is at the end.
        return _for_a_head(example, liked[-limit:], lost, other_ids=rejected[-limit:])
    tokenizer, texts = encoder.tokenizer, example.texts
    specials = tokenizer.num_special_tokens_to_add
    if len(texts) == 2 and specials(pair=True) <= specials(pair=False):
        texts = ("\n\n".join(texts),)
    whole = cut = tokenizer(*texts)
    if len(whole["input_ids"]) > encoder.max_length:
        with _cut_at(tokenizer, encoder.truncation):
            cut = tokenizer(*texts, truncation=True, max_length=encoder.max_length)
    lost = len(whole["input_ids"]) - len(cut["input_ids"])
    type_ids = list(cut["token_type_ids"]) if any(cut.get("token_type_ids") or ()) else None
    if not cut["input_ids"]:
        raise InputError("no token is left of the text", where=example.source, way_out="mend it")
    return _for_a_head(example, list(cut["input_ids"]), lost, type_ids=type_ids)


def _for_a_head(example: Example, ids: list[int], lost: int, **more: Any) -> Encoded:
    return Encoded(
        ids, [], lost, cut_tokens=lost, weight=example.weight, target=example.target, **more
    )


@contextmanager
def _cut_at(tokenizer: Any, end: Truncation) -> Iterator[None]:
    """The tokenizer itself, which goes with the result, is afterwards as it was.

    A slow one would warn with each pair that it does not say what it cut off; nobody asks it.
    """
    before, level = tokenizer.truncation_side, SLOW.level
    tokenizer.truncation_side = end
    SLOW.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tokenizer.truncation_side = before
        SLOW.setLevel(level)


def _conversation_ids(messages: Sequence[Message], tools: Any, encoder: Encoder) -> list[int]:
    text = render(messages, encoder.tokenizer, tools=tools).rstrip()
    return list(encoder.tokenizer(text, add_special_tokens=False)["input_ids"])
