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
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import onsa
from onsa.commands.chat import load_scorer, reply_to
from onsa.commands.merge import merge_adapter
from onsa.data.encoded import UNTRAINED
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.evaluation.scorer import Scorer
from onsa.files import read_json
from onsa.losses import token_losses
from onsa.methods.soft_prompts import (
    PREFIX_FITS,
    Prefix,
    PromptTuning,
    PTuning,
    add_virtual_tokens,
)
from onsa.models.saving import save_trained
from onsa.run import Run
from onsa.weights import Weights
from tests.breaking_off import break_off_at
from tests.conftest import ARCHITECTURES

Keys = Callable[..., dict[str, Any]]
TinyModel = Callable[..., Path]
TEXT = "say the word again system user"
WORDS = ("ba", "a longer word than that", "three words here", "x")
# RoBERTa's positions begin behind its padding token's, which PEFT's virtual tokens do not know.
FITTING = sorted(set(ARCHITECTURES) - {"roberta"})
REPLYING = [(architecture, {}) for architecture in FITTING] + [
    (architecture, {"sliding_window": 16}) for architecture in ("mistral", "gemma2", "gemma3_text")
]


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def lively(tiny_model: TinyModel, architecture: str, **keys: Any) -> Path:
    """A model that listens to what came before."""
    return tiny_model(architecture, initializer_range=0.2, **keys)


def with_prefix(folder: Path, ids: list[int]) -> Any:
    """The model with the keys and values of a text as its prefix."""
    model = load(folder)
    with torch.no_grad():
        layers = model(input_ids=torch.tensor([ids]), use_cache=True).past_key_values.layers
        kept = [each[0] for layer in layers for each in (layer.keys, layer.values)]
        model = add_virtual_tokens(
            "prefix_tuning", Prefix(num_virtual_tokens=len(ids)), folder, model
        )
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


@pytest.mark.parametrize("architecture", FITTING)
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


@pytest.mark.parametrize(("architecture", "keys"), REPLYING)
@pytest.mark.parametrize("kind", MAKE)
def test_a_reply_does_not_depend_on_its_batch(
    kind: str, architecture: str, keys: dict[str, Any], tiny_model: TinyModel, tokenizer: Any
) -> None:
    folder = lively(tiny_model, architecture, **keys)
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
    assert set(PREFIX_FITS) == set(FITTING)


SMALL = {"num_train_epochs": 0.2, "num_virtual_tokens": 4}
WITH_ENCODER = [
    {"method": "prefix", "prefix_projection": True, "encoder_hidden_size": 12},
    {"method": "p_tuning", "encoder_reparameterization_type": "LSTM", "encoder_dropout": 0.2},
]


@pytest.mark.parametrize("given", WITH_ENCODER)
def test_what_makes_the_virtual_tokens_goes_on_after_a_stop(
    given: dict[str, Any], recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {**given, **SMALL, "num_train_epochs": 0.5}
    calm = onsa.tune(**recipe(**keys, output=str(tmp_path / "calm")))
    steps = break_off_at(monkeypatch, 6)
    stormy = recipe(**keys, output=str(tmp_path / "stormy"), save_steps=2)
    with pytest.raises(KeyboardInterrupt):
        onsa.tune(**stormy)
    run = onsa.tune(**stormy)
    assert steps() > 6
    assert stored(run).read_bytes() == stored(calm).read_bytes()
    kept = load_file(stored(run))["prompt_embeddings"]
    # Keys and values of two heads of 8 in two layers; embeddings.
    assert kept.shape == (4, 2 * 2 * 2 * 8 if given["method"] == "prefix" else 32)


def test_the_virtual_tokens_are_stored_without_dropout(
    tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder = tiny_model()
    settings = PTuning(encoder_reparameterization_type="LSTM", encoder_dropout=0.5)
    model = add_virtual_tokens("p_tuning", settings, folder, load(folder)).train()
    saved = save_trained(model, tmp_path, Weights(folder))
    kept = load_file(saved.folder / "adapter_model.safetensors")["prompt_embeddings"]
    assert torch.equal(kept, model.eval().get_prompt(1)[0])


def stored(run: Run) -> Path:
    return run / "model" / "adapter_model.safetensors"


@pytest.mark.parametrize("method", ["prefix", "p_tuning", "prompt_tuning"])
@pytest.mark.parametrize("architecture", ["gpt2", "gemma3_text"])
def test_a_run_in_bfloat16_is_scored_chats_and_is_not_merged(
    method: str, architecture: str, recipe: Keys
) -> None:
    run = onsa.tune(**recipe(architecture, method=method, **SMALL, precision="bfloat16"))
    assert [row["label"] for row in read_json(run / "report.json")["results"]] == ["base", method]
    assert "library_name: peft" in (run / "model" / "README.md").read_text(encoding="utf-8")
    scorer = load_scorer(run.folder)
    assert isinstance(reply_to(scorer, [{"role": "user", "content": "again ba"}], 4), str)
    with pytest.raises(InputError, match="adds input, not weights: it cannot be merged"):
        merge_adapter(run.folder)


def test_gradient_checkpointing_changes_nothing(recipe: Keys, tmp_path: Path) -> None:
    keys = {"method": "prompt_tuning", **SMALL}
    plain = onsa.tune(**recipe(**keys, output=str(tmp_path / "plain")))
    frugal = onsa.tune(
        **recipe(**keys, output=str(tmp_path / "frugal"), gradient_checkpointing=True)
    )
    ours, theirs = (load_file(stored(run))["prompt_embeddings"] for run in (plain, frugal))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_text_is_where_prompt_tuning_starts(tiny_model: TinyModel, tokenizer: Any) -> None:
    folder, ids = tiny_model(), tokenizer(TEXT)["input_ids"]
    words = load(folder).get_input_embeddings().weight[ids]
    assert torch.equal(with_prompt(folder, ids).prompt_encoder["default"].embedding.weight, words)
    drawn = add_virtual_tokens("prompt_tuning", PromptTuning(), folder, load(folder))
    vocabulary = {tuple(row) for row in load(folder).get_input_embeddings().weight.tolist()}
    assert {tuple(row) for row in drawn.prompt_encoder["default"].embedding.weight.tolist()} <= (
        vocabulary
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "prefix", "encoder_hidden_size": 8}, "no effect without 'prefix_projection: t"),
        (
            {"method": "prefix", "gradient_checkpointing": True},
            "prefix: a prefix is lost",
        ),
        ({"method": "p_tuning", "encoder_num_layers": 3}, "no effect without 'encoder_reparam"),
        ({"method": "p_tuning", "encoder_dropout": 0.1}, "no effect without 'encoder_reparam"),
        (
            {
                "method": "p_tuning",
                "encoder_reparameterization_type": "LSTM",
                "encoder_num_layers": 1,
                "encoder_dropout": 0.1,
            },
            "no effect with one layer",
        ),
        ({"method": "prompt_tuning", "prompt_tuning_init": "TEXT"}, "TEXT' without a text; add"),
        ({"method": "prompt_tuning", "prompt_tuning_init_text": "hm"}, "no effect without 'prompt"),
        (
            {
                "method": "prompt_tuning",
                "prompt_tuning_init": "TEXT",
                "prompt_tuning_init_text": TEXT,
                "num_virtual_tokens": 3,
            },
            "prompt_tuning_init_text: .* tokens, and num_virtual_tokens is 3; write",
        ),
        ({"method": "prompt_tuning", "num_virtual_tokens": 500}, "tokens after 500 virtual ones, "),
        ({"method": "prefix", "num_virtual_tokens": 9999}, "; lower num_virtual_tokens"),
        (
            {"baselines": ["prefix"], "gradient_checkpointing": True},
            "prefix: a prefix is lost under gradient_checkpointing; take",
        ),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_trained(
    given: dict[str, Any], said: str, recipe: Keys, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        onsa.tune(**recipe("gpt2", **given))
    assert not (tmp_path / "run").exists()


def test_prefix_says_why_not_on_another_architecture(recipe: Keys, tiny_model: TinyModel) -> None:
    bloom = tiny_model("bloom", hidden_size=32, n_layer=2, n_head=4)
    with pytest.raises(InputError, match=r"prefix: not tested on a bloom, .* prompt_tuning fits"):
        onsa.tune(**recipe(method="prefix", model=str(bloom)))
    onsa.tune(**recipe(method="prompt_tuning", model=str(bloom), **SMALL))
