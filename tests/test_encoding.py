"""Only replies are trained, with the token that ends them; batches are planned and countable."""

from __future__ import annotations

from typing import Any

import pytest

from onsa.data.batches import plan_epochs, plan_tokens, processed_tokens, trained_tokens
from onsa.data.encoded import UNTRAINED, Encoded
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.models.tokenizer import PLAIN_TEMPLATE


def conversation(*turns: str) -> Example:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns))
    return Example(messages, source="rows.jsonl:7")


def trained_text(encoded: Encoded, tokenizer: Any) -> str:
    return str(tokenizer.decode([label for label in encoded.labels if label != UNTRAINED]))


def test_pain_P3_only_the_replies_are_trained(tokenizer: Any) -> None:
    """Red where labels begin as the ids."""
    encoder = Encoder(tokenizer, 200)
    encoded = encoder.encode(conversation("say 音叉", "音叉", "again", "はい"))
    assert trained_text(encoded, tokenizer) == "音叉<|im_end|>はい<|im_end|>"
    assert encoded.trained_tokens == sum(label != UNTRAINED for label in encoded.labels)


def test_pain_P7_the_end_of_the_reply_is_trained(tokenizer: Any) -> None:
    """Red where a reply's place ends before its end token."""
    encoded = Encoder(tokenizer, 200).encode(conversation("say a", "a"))
    last = [label for label in encoded.labels if label != UNTRAINED][-1]
    assert last == tokenizer.eos_token_id


def test_pain_P7_a_template_that_never_ends_a_reply_is_refused(tokenizer: Any) -> None:
    """Red without `encoding._check_end`."""
    tokenizer = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|im_end|>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    with pytest.raises(InputError, match=r"never stop.*plain"):
        Encoder(tokenizer, 200).encode(conversation("say a", "a"))
    tokenizer.chat_template = PLAIN_TEMPLATE
    encoded = Encoder(tokenizer, 200).encode(conversation("say a", "a"))
    assert trained_text(encoded, tokenizer) == "a<|im_end|>"


def test_the_prompt_is_what_training_saw_before_the_reply(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 200)
    example = conversation("say a", "a")
    prompt = encoder.encode_prompt(example)
    encoded = encoder.encode(example)
    assert list(encoded.ids[: len(prompt)]) == prompt
    assert all(label == UNTRAINED for label in encoded.labels[: len(prompt)])


def test_a_cut_reply_is_counted_and_a_lost_one_is_an_error(tokenizer: Any) -> None:
    example = conversation("say it", "word " * 20)
    whole = Encoder(tokenizer, 500).encode(example)
    cut = Encoder(tokenizer, 30).encode(example)
    assert cut.lost_tokens == whole.trained_tokens - cut.trained_tokens > 0
    with pytest.raises(InputError, match=r"rows.jsonl:7.*max_length 8"):
        Encoder(tokenizer, 8).encode(example)


def corpus() -> dict[str, list[Encoded]]:
    def row(length: int) -> Encoded:
        return Encoded([1] * length, [UNTRAINED] * (length - 2) + [1, 1])

    return {"a": [row(5 + n) for n in range(10)], "b": [row(30)] * 4}


def test_an_epoch_holds_every_row_once_and_the_longest_batch_first() -> None:
    plan = plan_epochs(corpus(), {"a": 1, "b": 1}, 1, 4, seed=0)
    rows = sorted(row for batch in plan for row in batch)
    assert rows == [("a", n) for n in range(10)] + [("b", n) for n in range(4)]
    sizes = [sum(len(corpus()[task][row].ids) for task, row in batch) for batch in plan]
    assert sizes[0] == max(sizes)


def test_pain_P2_every_epoch_is_mixed_anew_from_one_seed() -> None:
    """Red where all epochs draw from the same seed."""
    two = plan_epochs(corpus(), {"a": 1, "b": 1}, 2, 2, seed=3)
    assert two == plan_epochs(corpus(), {"a": 1, "b": 1}, 2, 2, seed=3)
    assert two != plan_epochs(corpus(), {"a": 1, "b": 1}, 2, 2, seed=4)
    half = len(two) // 2
    # Without the largest batch: that it is put first is no mixing.
    order = [[batch for batch in epoch if batch != two[0]] for epoch in (two[:half], two[half:])]
    assert order[0] != order[1]


def test_weights_say_how_often_a_task_is_drawn() -> None:
    plan = plan_epochs(corpus(), {"a": 0.5, "b": 3}, 1, 4, seed=0)
    drawn = [task for batch in plan for task, _ in batch]
    assert (drawn.count("a"), drawn.count("b")) == (5, 12)


def test_a_token_budget_is_met_as_nearly_as_batches_allow() -> None:
    plan = plan_tokens(corpus(), {"a": 1, "b": 1}, 50, 4, seed=0)
    assert abs(trained_tokens(plan, corpus()) - 50) <= 4
    assert processed_tokens(plan, corpus()) > trained_tokens(plan, corpus())
