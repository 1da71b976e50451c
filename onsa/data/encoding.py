"""From conversations to ids and labels: only replies are trained, their end token with them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from onsa.data.example import Example, Message
from onsa.data.token_cache import Row, TokenCache
from onsa.errors import InputError
from onsa.files import digest_of_json

UNTRAINED = -100
AT_ONCE = 1000  # rows that are rendered and tokenised together
ROWS_A_FILE = 20_000  # of the cache
LEAST_CACHED = 1000  # fewer rows are encoded sooner than a person notices

Truncation = Literal["right", "left"]


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example; `labels` equal the ids where trained, elsewhere `UNTRAINED`.

    Both are kept as arrays of 32-bit integers, a fifth of what a list of numbers takes.
    """

    ids: Sequence[int]
    labels: Sequence[int]
    lost_tokens: int = 0  # reply tokens, or tokens a head would read, that the limit cut off
    cut_tokens: int = 0  # all that it cut off
    weight: float = 1.0  # of its loss
    target: int | float | tuple[int, ...] | None = None  # for a head; there are no labels then
    type_ids: Sequence[int] | None = None  # of which text of a pair each token is, for BERT's kin
    other_ids: Sequence[int] | None = None  # of the reply that was not liked, for a ranking

    def __post_init__(self) -> None:
        for name in ("ids", "labels"):
            if not isinstance(getattr(self, name), array):
                object.__setattr__(self, name, array("i", getattr(self, name)))

    @cached_property
    def trained_tokens(self) -> int:
        """Tokens that are trained; what a head says counts as one."""
        if self.target is not None:
            return 1
        # The first token is never predicted, so it never counts.
        return max(0, len(self.labels) - 1) - self.labels[1:].count(UNTRAINED)


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
        vocabulary = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
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


class Rendered(NamedTuple):
    """A conversation as text, and the places (start, end) of the replies that are trained."""

    text: str
    spans: list[tuple[int, int]]


def encode(example: Example, encoder: Encoder) -> Encoded:
    """Ids and labels of a conversation, every reply in it trained up to and with its end token.

    Of a row with a target: what the task's head reads.

    Raises:
        InputError: nothing is left to train on, or the template ends no reply with an end token,
            or leaves out tools.
    """
    if example.target is not None:
        return _encode_for_a_head(example, encoder)
    rendered = _rendered(example, encoder.tokenizer)
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
        rendered = [_rendered(example, encoder.tokenizer) for example in examples]
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
    """The tokenizer itself, which goes with the result, is afterwards as it was."""
    before = tokenizer.truncation_side
    tokenizer.truncation_side = end
    try:
        yield
    finally:
        tokenizer.truncation_side = before


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


def _rendered(example: Example, tokenizer: Any) -> Rendered:
    try:
        text = _render_whole(example, tokenizer)
        return Rendered(text, _reply_spans(example, tokenizer, text))
    except InputError as fault:
        raise InputError(
            fault.what, where=fault.where or example.source, way_out=fault.way_out
        ) from None


def _reply_spans(example: Example, tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """The places (start, end) of the replies to be trained in the rendered text."""
    spans = []
    tools = example.extra.get("tools")
    replies = [n for n, each in enumerate(example.messages) if each["role"] == "assistant"]
    for number in replies[-1:] if example.only_last else replies:
        before = render(example.messages[:number], tokenizer, True, tools)
        is_last = number + 1 == len(example.messages)
        through = (
            text if is_last else render(example.messages[: number + 1], tokenizer, tools=tools)
        )
        through = through.rstrip()
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
