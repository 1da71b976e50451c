"""What trains, and how fast: parts, blocks and patterns on real architectures' names."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

import onsa
from onsa.choosing.choices import choose, rates
from onsa.errors import InputError
from onsa.recipe.training import Training
from onsa.weights import Weights

LLAMA = {
    "model.embed_tokens.weight": (9, 4),
    "model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.layers.0.mlp.up_proj.weight": (6, 4),
    "model.layers.0.input_layernorm.weight": (4,),
    "model.layers.1.self_attn.q_proj.weight": (4, 4),
    "model.layers.1.mlp.up_proj.weight": (6, 4),
    "model.layers.1.input_layernorm.weight": (4,),
    "model.norm.weight": (4,),
}


def names(**choice: Any) -> set[str]:
    chosen = choose(LLAMA, **choice).count_by_name()
    assert all(count in (0, torch.Size(LLAMA[name]).numel()) for name, count in chosen.items())
    return {name.removeprefix("model.").removesuffix(".weight") for name, n in chosen.items() if n}


def test_parts_blocks_and_patterns() -> None:
    assert names(parts=["mlp"]) == {"layers.0.mlp.up_proj", "layers.1.mlp.up_proj"}
    assert names(parts=["norm"]) == {"layers.0.input_layernorm", "layers.1.input_layernorm", "norm"}
    assert names(parts=["mlp"], last_blocks=1) == {"layers.1.mlp.up_proj"}
    assert {name.split(".")[1] for name in names(first_blocks=1)} == {"0"}
    assert names(parts=["embedding"], patterns=["*.1.mlp.*"]) == {
        "embed_tokens", "layers.1.mlp.up_proj",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"parts": ["bias"]}, "the model has no bias of its own"),
        ({"parts": ["head"]}, "its head is the embedding, tied"),
        ({"patterns": ["*.mpl.*"]}, "fits no tensor"),
        ({"last_blocks": 3}, "the model has 2"),
        ({"parts": ["embedding"], "last_blocks": 1}, "nothing is left to train"),
    ],
)
def test_what_the_model_does_not_have_is_an_error(choice: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose(LLAMA, **choice)


def test_rates_fall_with_depth_and_patterns_decide() -> None:
    rate_of = rates(LLAMA, Training(layer_decay=0.5, learning_rates={"*norm*": 7.0}))
    assert rate_of is not None
    found = [rate_of(name, 8.0) for name in LLAMA]
    assert found == [1.0, 2.0, 2.0, 7.0, 4.0, 4.0, 7.0, 7.0]
    assert rates(LLAMA, Training()) is None


def test_a_rate_of_nothing_moves_nothing(recipe: Any) -> None:
    frozen = {"model.layers.0.*": 0.0}
    run = onsa.tune(**recipe(method="full", learning_rates=frozen, lr_scheduler_type="cosine"))
    after = Weights(run / "model")
    moved = {name for name in after.names if not torch.equal(after[name], run.base[name])}
    assert moved == {name for name in after.names if ".layers.0." not in name}


def test_what_is_not_chosen_takes_no_optimizer_memory(recipe: Any) -> None:
    run = onsa.tune(**recipe(method="partial", last_blocks=1, parts=["attention"]))
    chosen = choose(run.base.float_shapes, ["attention"], last_blocks=1)
    facts = next(record.facts for record in run.history if record.name == "partial")
    assert facts["trained_entries"] == chosen.count
    assert facts["held"]["entries"] == run.base.entry_count - chosen.count
    shown = json.loads((run / "report.json").read_text(encoding="utf-8"))["held"]
    assert [(row["rule"], row["changed"]) for row in shown] == [("what was not chosen", 0)]


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox"])
def test_biases_alone(recipe: Any, architecture: str) -> None:
    run = onsa.tune(**recipe(architecture, method="partial", parts=["bias"]))
    loaded = _parameters(run / "model")
    moved = {name for name in run.base.names if not torch.equal(loaded[name], run.base[name])}
    assert moved == {name for name in run.base.names if name.endswith("bias")}


def _parameters(folder: Any) -> dict[str, torch.Tensor]:
    from transformers import AutoModelForCausalLM

    return dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())


def test_partial_of_everything_is_refused(recipe: Any) -> None:
    with pytest.raises(InputError, match="needs parts, patterns, first_blocks or last_blocks"):
        onsa.tune(**recipe(method="partial"))
    with pytest.raises(InputError, match="the model has no bias"):
        onsa.tune(**recipe(method="partial", parts=["bias"]))
