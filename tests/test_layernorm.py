"""Norms only: which ones, and that nothing else moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import onsa
from onsa.errors import InputError
from onsa.methods.layernorm import LayerNorm, largest_entries, largest_tensors, output_norms
from onsa.models.places import place_of
from onsa.run import Run
from onsa.settings import validated
from onsa.weights import Weights

Keys = Callable[..., dict[str, Any]]


def moved(run: Run) -> set[str]:
    after = run.stages[-1].weights
    return {n for n in run.base.names if not torch.equal(run.base[n], after[n])}


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (
            ["m.layers.0.input_layernorm.w", "m.layers.0.post_attention_layernorm.w",
             "m.layers.1.input_layernorm.w", "m.norm.w", "m.layers.1.mlp.w"],
            {"m.layers.1.input_layernorm.w", "m.norm.w"},
        ),
        (
            ["m.layers.0.input_layernorm.w", "m.layers.0.pre_feedforward_layernorm.w",
             "m.layers.0.post_feedforward_layernorm.w", "m.norm.w"],
            {"m.layers.0.post_feedforward_layernorm.w"},
        ),
        (
            ["t.h.0.ln_1.w", "t.h.0.ln_2.w", "t.h.1.ln_1.w", "t.h.1.ln_1.bias", "t.ln_f.w"],
            {"t.h.1.ln_1.w", "t.h.1.ln_1.bias", "t.ln_f.w"},
        ),
    ],
    ids=["llama", "gemma", "gpt2"],
)  # fmt: skip
def test_output_norms_by_the_names_of_architectures(names: list[str], output: set[str]) -> None:
    assert output_norms(names) == output


def test_unknown_names_are_an_error() -> None:
    with pytest.raises(InputError, match="cannot be told"):
        output_norms(["m.layers.0.strange_norm.w", "m.layers.1.strange_norm.w", "m.norm.w"])


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "bert"])
def test_all_norms_move_and_nothing_else(recipe: Keys, architecture: str) -> None:
    run = onsa.tune(**recipe(architecture, method="layernorm", num_train_epochs=0.3))
    assert moved(run) == {name for name in run.base.names if place_of(name).role == "norm"}


@pytest.mark.parametrize("level", ["tensor", "entry"])
def test_fisher_chooses_its_share(recipe: Keys, level: str) -> None:
    keys = {"norms": "fisher", "share": "40%", "level": level, "fisher_rows": 4}
    run = onsa.tune(**recipe(method="layernorm", num_train_epochs=0.3, **keys))
    trained = next(r.facts for r in run.history if r.name == "layernorm")["trained_entries"]
    assert trained == 64  # two of five norms of 32, or as many entries
    assert {place_of(name).role for name in moved(run)} == {"norm"}


def test_tensors_by_their_mean_and_entries_one_by_one(tmp_path: Path) -> None:
    fisher = {"a": torch.tensor([9.0, 0.0, 0.0, 0.0]), "b": torch.full((4,), 4.0)}
    save_file(fisher, tmp_path / "model.safetensors")
    shapes = {"a": (4,), "b": (4,), "c": (2, 2)}
    tensors = largest_tensors(shapes, Weights(tmp_path), 0.5)
    assert tensors.count_by_name() == {"a": 0, "b": 4, "c": 0}
    entries = largest_entries(shapes, Weights(tmp_path), 0.25)
    assert entries["a"].tolist() == [True, False, False, False]
    assert entries["b"].tolist() == [True, False, False, False]


def test_a_key_without_effect_is_refused() -> None:
    with pytest.raises(InputError, match="share has no effect with norms 'all'"):
        validated(LayerNorm, {"share": 0.1}, "recipe")
