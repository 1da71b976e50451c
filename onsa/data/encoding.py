"""From conversations to ids and labels: only replies are trained, their end token with them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onsa.data.example import Example, Message
from onsa.errors import InputError
from onsa.files import digest_of_json

UNTRAINED = -100


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example; `labels` equal the ids where trained, elsewhere `UNTRAINED`."""

    ids: list[int]
    labels: list[int]
    lost_tokens: int = 0  # reply tokens, or tokens a head would read, that the limit cut off
    target: int | float | tuple[int, ...] | None = None  # for a head; there are no labels then
    type_ids: list[int] | None = None  # which text of a pair each token is of, for BERT and its kin
    other_ids: list[int] | None = None  # of the reply that was not liked, for a ranking

    @cached_property
    def trained_tokens(self) -> int:
        """Tokens that are trained; what a head says counts as one."""
        if self.target is not None:
            return 1
        # The first token is never predicted, so it never counts.
        return sum(label != UNTRAINED for label in self.labels[1:])


class Encoder:
    """A tokenizer with its chat template and a length limit; equal digests encode equally."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.end_tokens = end_tokens(tokenizer)
        vocabulary = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
        self.digest = digest_of_json([vocabulary, tokenizer.chat_template, max_length])
        self._known: dict[int, tuple[Example, Encoded]] = {}  # holds the example: ids are reused

    def encode(self, example: Example) -> Encoded:
        if id(example) not in self._known:
            self._known[id(example)] = example, encode(example, self)
        return self._known[id(example)][1]

    def encode_prompt(self, example: Example) -> list[int]:
        """Ids of everything before the reply, ready for generation."""
        text = render(example.prompt, self.tokenizer, True, example.extra.get("tools"))
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def encode(example: Example, encoder: Encoder) -> Encoded:
    """Ids and labels of a conversation, every reply in it trained up to and with its end token.

    Raises:
        InputError: nothing is left to train on, or the template ends no reply with an end token,
            or leaves out tools.
    """
    if example.target is not None:
        return _encode_for_a_head(example, encoder)
    tokenizer, max_length = encoder.tokenizer, encoder.max_length
    text = _render_whole(example, tokenizer)
    spans = _reply_spans(example, tokenizer, text)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    labels = _labels(ids, offsets, spans)
    _check_end(example, labels, encoder)
    kept = labels[:max_length]
    lost = sum(label != UNTRAINED for label in labels[max_length:])
    # The first token is never predicted, so it never counts as trained.
    if all(label == UNTRAINED for label in kept[1:]):
        raise InputError(
            f"no reply token is left to train on within max_length {max_length}",
            where=example.source,
            way_out=f"raise max_length (the example has {len(ids)} tokens) or shorten its prompt",
        )
    return Encoded(ids[:max_length], kept, lost)


def _encode_for_a_head(example: Example, encoder: Encoder) -> Encoded:
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
        return Encoded(liked[-limit:], [], lost, example.target, None, rejected[-limit:])
    tokenizer, texts = encoder.tokenizer, example.texts
    specials = tokenizer.num_special_tokens_to_add
    if len(texts) == 2 and specials(pair=True) <= specials(pair=False):
        texts = ("\n\n".join(texts),)
    whole = tokenizer(*texts)
    cut = tokenizer(*texts, truncation=True, max_length=encoder.max_length)
    lost = len(whole["input_ids"]) - len(cut["input_ids"])
    type_ids = list(cut["token_type_ids"]) if any(cut.get("token_type_ids") or ()) else None
    if not cut["input_ids"]:
        raise InputError("no token is left of the text", where=example.source, way_out="mend it")
    return Encoded(list(cut["input_ids"]), [], lost, example.target, type_ids)


def _conversation_ids(messages: Sequence[Message], tools: Any, encoder: Encoder) -> list[int]:
    text = render(messages, encoder.tokenizer, tools=tools).rstrip()
    return list(encoder.tokenizer(text, add_special_tokens=False)["input_ids"])


def _render_whole(example: Example, tokenizer: Any) -> str:
    """The conversation as text, with all its tools and calls in it.

    Raises:
        InputError: the template leaves them out: they would be lost without a word.
    """
    tools = example.extra.get("tools")
    text = render(example.messages, tokenizer, tools=tools)
    calls = any("tool_calls" in message for message in example.messages)
    bare = [{key: message[key] for key in ("role", "content")} for message in example.messages]
    for what, given, without in (
        ("tools", tools, lambda: render(example.messages, tokenizer)),
        ("calls of tools", calls, lambda: render(bare, tokenizer, tools=tools)),
    ):
        if given and without() == text:
            raise InputError(
                f"the chat template leaves out the row's {what}",
                where=example.source,
                way_out="set 'tools: text' in the task (they stand in its messages then), or give "
                "a template that writes them with 'chat_template:'",
            )
    return text


def render(
    messages: Sequence[Message],
    tokenizer: Any,
    generation: bool = False,
    tools: Sequence[dict[str, Any]] | None = None,
) -> str:
    """The conversation as text by the tokenizer's own chat template, which is told the tools."""
    try:
        text = tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) if tools else None,
            tokenize=False,
            add_generation_prompt=generation,
        )
    except Exception as fault:  # templates raise their own errors, and jinja's
        raise InputError(
            f"the chat template refuses the conversation ({' '.join(str(fault).split())[:160]})",
            way_out="check the order of its roles",
        ) from None
    assert isinstance(text, str)
    return text


def _reply_spans(example: Example, tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """The places (start, end) of all replies in the rendered text."""
    spans = []
    tools = example.extra.get("tools")
    for number, message in enumerate(example.messages):
        if message["role"] != "assistant":
            continue
        before = render(example.messages[:number], tokenizer, True, tools)
        through = render(example.messages[: number + 1], tokenizer, tools=tools).rstrip()
        if not (text.startswith(through) and through.startswith(before.rstrip())):
            raise InputError(
                "the chat template does not render a conversation turn by turn",
                where=example.source,
                way_out="give a template whose text only grows, with 'chat_template:'",
            )
        # A prompt may end in spaces that the template drops before a reply.
        start = len(before) if through.startswith(before) else len(before.rstrip())
        spans.append((start, len(through)))
    return spans


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


def end_tokens(tokenizer: Any) -> set[int]:
    """Ids that end a reply: the tokenizer's own, and the turn marks that chat templates use."""
    marks = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "</s>")
    vocabulary = tokenizer.get_vocab()
    own = set() if tokenizer.eos_token_id is None else {tokenizer.eos_token_id}
    return own | {vocabulary[mark] for mark in marks if mark in vocabulary}
