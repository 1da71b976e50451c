"""Scores do not depend on how examples are batched, and agree with transformers' own loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from onsa.data.encoded import UNTRAINED
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.evaluation.scorer import Scorer
from onsa.losses import token_losses
from onsa.metrics.passing import pass_at_k
from onsa.progress import Advance
from onsa.tasks import Task, find_kind
from onsa.tasks._confined import Limits, Outcome, Program
from onsa.training.collators import PlainCollator

WORDS = ["ba", "be bi bo", "bu ba be bi bo bu", "音叉", "x" * 30]


def example(word: str, choices: list[str] | None = None) -> Example:
    messages = ({"role": "user", "content": f"say {word}"}, {"role": "assistant", "content": word})
    return Example(messages, {"choices": choices} if choices else {})


@pytest.fixture(params=["llama", "gpt2", "gpt_neox", "gemma3_text", "bert", "roberta"])
def scorer(
    request: pytest.FixtureRequest, tiny_model: Callable[..., Path], tokenizer: Any
) -> Callable[[int], Scorer]:
    model = AutoModelForCausalLM.from_pretrained(tiny_model(request.param)).eval()
    return lambda batch_size: Scorer(model, Encoder(tokenizer, 200), batch_size)


def test_replies_do_not_depend_on_the_batch(scorer: Callable[[int], Scorer]) -> None:
    rows = [example(word) for word in WORDS]
    seen: list[int] = []
    together = scorer(5).reply(rows, 6, seen.append)
    assert together == scorer(1).reply(rows, 6, seen.append)
    assert sum(seen) == 10


def test_replies_are_those_of_the_model_without_cache_or_padding(
    scorer: Callable[[int], Scorer],
) -> None:
    """Which RoBERTa's are only if its positions begin behind the padding token's."""
    rows = [example(word) for word in WORDS]
    found = scorer(5)
    replies = found.reply(rows, 6, lambda n: None)
    assert replies == [greedy(found, found.encoder.encode_prompt(row), 6) for row in rows]


@torch.inference_mode()
def greedy(scorer: Scorer, ids: list[int], count: int) -> str:
    made: list[int] = []
    while len(made) < count and not scorer.encoder.end_tokens & set(made):
        logits = scorer.model(torch.tensor([ids + made]), use_cache=False).logits
        made.append(int(logits[0, -1].argmax()))
    return str(scorer.tokenizer.decode(made, skip_special_tokens=True)).strip()


def test_losses_agree_with_the_model_s_own(scorer: Callable[[int], Scorer]) -> None:
    rows = [example(word) for word in WORDS]
    found = scorer(3)
    for row, loss in zip(rows, found.losses(rows), strict=True):
        encoded = found.encoder.encode(row)
        with torch.inference_mode():
            own = found.model(
                input_ids=torch.tensor([encoded.ids]), labels=torch.tensor([encoded.labels])
            ).loss
        assert loss == pytest.approx(float(own), rel=1e-4)


def test_the_likeliest_choice_is_chosen(scorer: Callable[[int], Scorer]) -> None:
    found = scorer(2)
    rows = [example("A", ["A", "B", "C"]), example("B", ["B", "A"])]
    for row, chosen in zip(rows, found.choose(rows, lambda n: None), strict=True):
        losses = {c: found.losses([example_with(row, c)])[0] for c in row.extra["choices"]}
        assert chosen == min(losses, key=lambda choice: losses[choice])


def example_with(row: Example, reply: str) -> Example:
    return Example((*row.prompt, {"role": "assistant", "content": reply}))


def test_logits_only_where_tokens_are_trained_give_the_same_losses(
    scorer: Callable[[int], Scorer],
) -> None:
    found = scorer(2)
    encoded = [found.encoder.encode(example(word)) for word in WORDS]
    batch = PlainCollator(0, ["a", "b"])([(number % 2, row) for number, row in enumerate(encoded)])
    with torch.inference_mode():
        losses, owners = token_losses(found.model, dict(batch))
        logits = found.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    targets = batch["labels"][:, 1:]
    trained = targets != UNTRAINED
    whole = torch.nn.functional.cross_entropy(
        logits[:, :-1][trained], targets[trained], reduction="none"
    )
    torch.testing.assert_close(losses, whole)
    assert owners.tolist() == batch["task"][:, None].expand_as(targets)[trained].tolist()


def test_pass_at_k_of_drawn_replies(tiny_model: Callable[..., Path], tokenizer: Any) -> None:
    """Five replies for each row, drawn alike each time, become one score."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model("llama")).eval()
    scorer = Scorer(model, Encoder(tokenizer, 200), 4)
    rows = tuple(
        replace(example(word), extra={"tests": "assert True", "stub": "", "entry_point": ""})
        for word in WORDS
    )
    settings = find_kind("code").settings(
        train="x", samples=5, k=2, max_new_tokens=4, temperature=5
    )
    task = Task("mine", "code", settings, rows, rows)
    tried: list[str] = []

    def run_all(programs: Sequence[Program], limits: Limits, advance: Advance) -> list[Outcome]:
        tried.extend(program.readings[0] for program in programs)
        return [Outcome(place % 5 == 0) for place in range(len(programs))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("onsa.tasks.code.run_all", run_all)
        seen: list[int] = []
        found = scorer.score(task, rows, seen.append)
        first, tried[:] = list(tried), []
        assert scorer.score(task, rows, seen.append) == found
    assert len(first) == len(tried) == 25 == sum(seen) / 4  # replied, then run, two times
    assert first == tried
    assert len(set(first)) > 10  # drawn, not greedy
    assert found["scores"] == pytest.approx([pass_at_k(5, 1, 2)] * 5)
    assert found["replies"] == first[::5]


def test_choices_tell_how_far_they_are(tiny_model: Callable[..., Path], tokenizer: Any) -> None:
    """Red when all rows are told of at the end."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model("llama")).eval()
    rows = [replace(example(word), extra={"choices": list(WORDS)}) for word in WORDS]
    seen: list[int] = []
    Scorer(model, Encoder(tokenizer, 200), 4).choose(rows, seen.append)
    assert sum(seen) == len(rows)
    assert max(seen) < len(rows)
