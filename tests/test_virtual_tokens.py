"""Virtual tokens must do what a text in their place does: in a loss, in a reply, in a batch.

A prefix that is a text's own keys and values, and a prompt that is a text's own embeddings, have a
known answer: the plain model on that text and the row. It holds on every architecture, or the
architecture is not among those that prefix tuning is offered on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import onsa
from onsa.commands.chat import load_scorer, reply_to
from onsa.commands.merge import merge_adapter
from onsa.data.encoding import UNTRAINED, Encoder
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.evaluation import Scorer
from onsa.losses import token_losses
from onsa.methods.soft_prompts import (
    PREFIX_FITS,
    Prefix,
    PromptTuning,
    PTuning,
    add_virtual_tokens,
)
from onsa.run import Run
from tests.conftest import ARCHITECTURES
from tests.test_peft_methods import Losses, plain_trainer

Keys = Callable[..., dict[str, Any]]
TinyModel = Callable[..., Path]
TEXT = "say the word again system user"
WORDS = ("ba", "a longer word than that", "three words here", "x")
WINDOWED = {"mistral": {}, "gemma2": {}, "gemma3_text": {}}


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def lively(tiny_model: TinyModel, architecture: str, **keys: Any) -> Path:
    """A model that listens to what came before."""
    spread = "initializer_range"
    return tiny_model(architecture, **{spread: 0.2}, **keys)


def with_prefix(folder: Path, ids: list[int]) -> Any:
    """The model with the keys and values of a text as its prefix."""
    model = load(folder)
    with torch.no_grad():
        layers = model(input_ids=torch.tensor([ids]), use_cache=True).past_key_values.layers
        kept = [each[0] for layer in layers for each in (layer.keys, layer.values)]
        model = add_virtual_tokens("prefix_tuning", Prefix(num_virtual_tokens=len(ids)), folder, model)
        # PEFT stores them by token, then layer, keys before values, then head.
        flat = torch.stack(kept).permute(2, 0, 1, 3).reshape(len(ids), -1)
        model.prompt_encoder["default"].embedding.weight.copy_(flat)
    return model.eval()


def with_prompt(folder: Path, ids: list[int]) -> Any:
    """The model with the embeddings of a text as its prompt."""
    settings = PromptTuning(
        num_virtual_tokens=len(ids), prompt_tuning_init="TEXT", prompt_tuning_init_text=TEXT
    )
    return add_virtual_tokens("prompt_tuning", settings, folder, load(folder)).eval()


MAKE = {"prefix": with_prefix, "prompt_tuning": with_prompt}


def rows_of(tokenizer: Any) -> list[list[int]]:
    return [tokenizer(f"again {word}")["input_ids"] for word in WORDS]


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("kind", MAKE)
def test_the_loss_is_that_of_the_text_in_their_place(
    kind: str, architecture: str, tiny_model: TinyModel, tokenizer: Any
) -> None:
    folder = lively(tiny_model, architecture)
    ids, rows = tokenizer(TEXT)["input_ids"], rows_of(tokenizer)
    model, plain = MAKE[kind](folder, ids), load(folder)
    with torch.no_grad():
        alone = [token_losses(model, batch_of([row]))[0] for row in rows]
        padded, owners = token_losses(model, batch_of(rows))
        for number, row in enumerate(rows):
            logits = plain(input_ids=torch.tensor([ids + row])).logits[0, len(ids) :].float()
            by_hand = torch.nn.functional.cross_entropy(
                logits[1:-1], torch.tensor(row[2:]), reduction="none"
            )
            torch.testing.assert_close(alone[number], by_hand, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(padded[owners == number], by_hand, rtol=1e-4, atol=1e-5)


def batch_of(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    """A right-padded batch; all but the first two tokens of a row are trained."""
    width = max(map(len, rows))
    padding = [width - len(row) for row in rows]
    return {
        "input_ids": torch.tensor([row + [0] * n for row, n in zip(rows, padding, strict=True)]),
        "attention_mask": torch.tensor(
            [[1] * len(row) + [0] * n for row, n in zip(rows, padding, strict=True)]
        ),
        "labels": torch.tensor(
            [
                [UNTRAINED] * 2 + row[2:] + [UNTRAINED] * n
                for row, n in zip(rows, padding, strict=True)
            ]
        ),
        "task": torch.arange(len(rows)),
    }


def replies(model: Any, tokenizer: Any, batch_size: int, before: str = "") -> list[str]:
    """Replies to plain prompts, no template around them."""
    encoder = Encoder(tokenizer, max_length=512)
    prompts = {word: tokenizer(f"{before}again {word}")["input_ids"] for word in WORDS}
    encoder.encode_prompt = lambda row: prompts[row.messages[0]["content"]]  # type: ignore[method-assign]
    turns = ({"role": "assistant", "content": ""},)
    rows = [Example(({"role": "user", "content": word}, *turns)) for word in WORDS]
    return Scorer(model, encoder, batch_size).reply(rows, 8, lambda n: None)


@pytest.mark.parametrize("window", [None, 16])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("kind", MAKE)
def test_a_reply_does_not_depend_on_its_batch(
    kind: str, architecture: str, window: int | None, tiny_model: TinyModel, tokenizer: Any
) -> None:
    if window and architecture not in WINDOWED:
        pytest.skip("sees everything")
    folder = lively(tiny_model, architecture, **({"sliding_window": window} if window else {}))
    ids = tokenizer(TEXT)["input_ids"]
    model = MAKE[kind](folder, ids)
    plain = load(folder)
    expected = []
    for word in WORDS:
        row = torch.tensor([ids + tokenizer(f"again {word}")["input_ids"]])
        made = plain.generate(
            input_ids=row, attention_mask=torch.ones_like(row), max_new_tokens=8, do_sample=False,
            eos_token_id=sorted(Encoder(tokenizer, 512).end_tokens), pad_token_id=0,
        )  # fmt: skip
        expected.append(tokenizer.decode(made[0, row.shape[1] :], skip_special_tokens=True).strip())
    assert replies(model, tokenizer, batch_size=1) == expected
    assert replies(model, tokenizer, batch_size=8) == expected
    assert len(set(expected)) > 1


def test_prefix_is_offered_where_it_is_tested() -> None:
    assert set(PREFIX_FITS) == set(ARCHITECTURES)
