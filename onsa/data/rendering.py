"""Conversations as text by the tokenizer's own chat template, and where replies stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from onsa.data.example import Example, Message
from onsa.errors import InputError


class Rendered(NamedTuple):
    """A conversation as text, and the places (start, end) of the replies that are trained."""

    text: str
    spans: list[tuple[int, int]]


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
    continued: bool = False,
) -> str:
    """The conversation as text by the tokenizer's own chat template, which is told the tools.

    `continued`: its last turn is the beginning of a reply, which goes on.
    """
    try:
        text = tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) if tools else None,
            tokenize=False,
            add_generation_prompt=generation,
            continue_final_message=continued,
        )
    except Exception as fault:  # templates raise their own errors, and jinja's
        raise InputError(
            f"the chat template refuses the conversation ({' '.join(str(fault).split())[:160]})",
            way_out="check the order of its roles",
        ) from None
    assert isinstance(text, str)
    return text


def render_row(example: Example, tokenizer: Any) -> Rendered:
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


def end_tokens(tokenizer: Any) -> set[int]:
    """Ids that end a reply: the tokenizer's own, and the turn marks that chat templates use."""
    marks = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "</s>")
    vocabulary = tokenizer.get_vocab()
    own = set() if tokenizer.eos_token_id is None else {tokenizer.eos_token_id}
    return own | {vocabulary[mark] for mark in marks if mark in vocabulary}
