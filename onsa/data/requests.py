"""What an evaluation harness asks a model: how likely a text is after another, or what comes next.

Rows of such a task have requests under `extra["requests"]`, as JSON. Texts become tokens as
lm-evaluation-harness's own class for Hugging Face models makes them (its version 0.4.13): without a
chat template, with the marks that the tokenizer puts around a text, cut on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypedDict

from onsa.data.encoding import Encoder
from onsa.data.example import Example, Message
from onsa.data.rendering import render
from onsa.errors import InputError
from onsa.extras import import_extra

LIBRARY_LENGTH = 2048  # what the library takes where a model does not say how long a text may be


class Conversation(TypedDict):
    """A context that the model's own chat template is to write."""

    messages: list[Message]
    continued: bool  # the last turn is a reply's beginning


class Request(TypedDict):
    """`how` says when a generated text ends and how it is drawn; `times`, how often it is asked."""

    kind: Literal["loglikelihood", "loglikelihood_rolling", "generate_until"]
    context: str | Conversation
    continuation: str
    how: dict[str, Any]
    times: int


class Asked(NamedTuple):
    """Token ids whose likelihood is asked after those of a context."""

    context: list[int]
    continuation: list[int]

    def within(self, limit: int | None) -> Asked:
        """Cut on the left to what a model of `limit` positions can read: the last token is none
        of its input."""
        over = 0 if limit is None else len(self.context) + len(self.continuation) - limit - 1
        return self if over <= 0 else Asked(self.context[over:], self.continuation)


def requests_of(example: Example) -> list[Request]:
    """What is asked about the row; nothing where its task is scored otherwise."""
    found: list[Request] = example.extra.get("requests", [])
    return found


def asks_by_template(examples: Sequence[Example]) -> bool:
    """Whether the model's chat template has a part in what is asked."""
    return any(isinstance(each["context"], dict) for row in examples for each in requests_of(row))


def asked_of(request: Request, tokenizer: Any, limit: int | None, source: str) -> list[Asked]:
    """The tokens whose likelihoods a request adds up; a long text is asked window by window.

    Raises:
        InputError: there are none, or they are more than the model has positions.
    """
    if request["kind"] == "loglikelihood_rolling":
        return _windows(text_ids(request["continuation"], tokenizer), tokenizer, limit)
    asked = _pair(context_text(request, tokenizer), request["continuation"], tokenizer)
    if not asked.continuation:
        raise InputError(
            "a continuation without a token of its own",
            where=source,
            way_out="mend the row, or 'target_delimiter' in the task's file",
        )
    if limit is not None and len(asked.continuation) > limit:
        raise InputError(
            f"a continuation of {len(asked.continuation)} tokens, and the model has {limit} "
            "positions",
            where=source,
            way_out="choose a task with shorter texts",
        )
    return [asked.within(limit)]


def prompt_ids(request: Request, tokenizer: Any, limit: int | None, source: str) -> list[int]:
    """The tokens after which a text is generated, cut on the left so that it has room.

    Raises:
        InputError: the longest reply leaves no room for them.
    """
    ids = text_ids(context_text(request, tokenizer), tokenizer) or [prefix_token(tokenizer)]
    if limit is None:
        return ids
    room = limit - int(request["how"]["max_gen_toks"])
    if room < 1:
        raise InputError(
            f"replies of up to {request['how']['max_gen_toks']} tokens, and the model has {limit} "
            "positions",
            where=source,
            way_out="lower max_new_tokens",
        )
    return ids[-room:]


def lengths(example: Example, tokenizer: Any, limit: int | None = None) -> list[int]:
    """Tokens that go into the model for each request of the row, a generated reply with them."""
    counts = []
    for request in requests_of(example):
        if request["kind"] == "generate_until":
            reply = int(request["how"]["max_gen_toks"])
            ids = prompt_ids(request, tokenizer, limit, example.source)
            counts += [len(ids) + reply] * request["times"]
        else:
            asked = asked_of(request, tokenizer, limit, example.source)
            counts += [len(each.context) + len(each.continuation) - 1 for each in asked]
    return counts


def is_cut(example: Example, tokenizer: Any, limit: int) -> bool:
    """Whether something of the row is more than a model of `limit` positions can read."""
    return sum(lengths(example, tokenizer)) > sum(lengths(example, tokenizer, limit))


def scored_lengths(examples: Sequence[Example], encoder: Encoder) -> list[int]:
    """Tokens of all that goes into the model where the examples are scored, text by text."""
    asked = [count for row in examples for count in lengths(row, encoder.tokenizer)]
    others = [row for row in examples if not requests_of(row)]
    return [*asked, *(len(row.ids) for row in encoder.encode_all(others))]


def context_text(request: Request, tokenizer: Any) -> str:
    """What stands before the text in question, by the chat template where one is asked for."""
    context = request["context"]
    if isinstance(context, str):
        return context
    continued = context["continued"]
    return render(context["messages"], tokenizer, generation=not continued, continued=continued)


def text_ids(text: str, tokenizer: Any) -> list[int]:
    """With the tokenizer's marks around it, unless it begins with one already."""
    first = tokenizer.decode(prefix_token(tokenizer))
    ids: list[int] = tokenizer.encode(text, add_special_tokens=not text.startswith(first))
    return ids


def prefix_token(tokenizer: Any) -> int:
    """What stands before a text that has nothing before it."""
    bos: int | None = tokenizer.bos_token_id
    return int(tokenizer.eos_token_id) if bos is None else bos


def _pair(context: str, continuation: str, tokenizer: Any) -> Asked:
    """Spaces at the end of a context belong to the word that follows, as tokenizers have them."""
    kept = context.rstrip()
    continuation = context[len(kept) :] + continuation
    if not kept:
        ids = tokenizer.encode(continuation, add_special_tokens=False)
        prefix = prefix_token(tokenizer)
        return Asked(ids[:1], ids[1:]) if ids[:1] == [prefix] else Asked([prefix], ids)
    before = text_ids(kept, tokenizer)
    return Asked(before, text_ids(kept + continuation, tokenizer)[len(before) :])


def _windows(ids: list[int], tokenizer: Any, limit: int | None) -> list[Asked]:
    library = import_extra("lm_eval.utils", "lm_eval", "lm_eval")
    found = library.get_rolling_token_windows(
        ids, prefix_token(tokenizer), limit or LIBRARY_LENGTH, 1
    )
    return [Asked(*library.make_disjoint_window(window)) for window in found]
