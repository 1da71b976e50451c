"""Depth expansion: the same function at the start, and only new blocks move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import onsa
from onsa.commands.add import add_by_recipe
from onsa.commands.chat import load_scorer, reply_to
from onsa.errors import InputError
from onsa.files import read_json
from onsa.methods.expand import Expand, add_blocks, block_order, deepen
from onsa.models.importing import import_base
from onsa.models.places import place_of
from onsa.models.saving import save_by_parameter
from onsa.run import Run, Step
from onsa.state import load_state
from onsa.weights import Weights
from tests.conftest import ARCHITECTURES, SHAPE

NORMS_AFTER = ("bert", "roberta")  # of the sum; as new ones start, a second norm changes nothing

Keys = Callable[..., dict[str, Any]]
TinyModel = Callable[..., Path]
IDS = torch.arange(3, 40)[None]

# By hand: matrices of 32 x 32 (q, o), 16 x 32 (k, v), 64 x 32 (gate, up, down), two norms of 32.
LLAMA_BLOCK = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32 + 2 * 32
GPT2_BLOCK = 12 * 32 * 32 + 13 * 32  # 4 + 8 matrices; 9 biases, two norms with bias


@pytest.mark.parametrize(
    ("count", "keys", "order"),
    [
        (4, {"blocks": 2}, [0, 1, 1, 2, 3, 3]),
        (4, {"blocks": 1}, [0, 1, 2, 3, 3]),
        (4, {"blocks": 3}, [0, 1, 1, 2, 2, 3, 3]),
        (2, {"blocks": 4}, [0, 0, 0, 1, 1, 1]),
        (2, {}, [0, 0, 0, 1, 1, 1]),
        (4, {"blocks": 2, "where": "end"}, [0, 1, 2, 3, 3, 3]),
        (5, {"every": 2}, [0, 1, 1, 2, 3, 3, 4]),
        (4, {"every": 4}, [0, 1, 2, 3, 3]),
    ],
)
def test_where_blocks_are_added(count: int, keys: dict[str, Any], order: list[int]) -> None:
    assert block_order(count, Expand(**keys)) == order


def test_thirty_two_blocks_become_forty_as_in_the_paper() -> None:
    order = block_order(32, Expand(blocks=8))
    assert len(order) == 40
    assert [order[at] for at in range(4, 40, 5)] == list(range(3, 32, 4))
    assert order == block_order(32, Expand(every=4))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"every": 3}, "every 3 adds nothing: the model has 2 blocks; give a number up to 2"),
        ({"every": 1, "blocks": 1}, "blocks has no effect with every; keep one of"),
        ({"every": 1, "where": "end"}, "where has no effect with every; keep one of"),
        ({"blocks": 0}, "blocks: should be greater than or equal to 1"),
        ({"where": "start"}, "where: should be 'spread' or 'end'"),
    ],
)
def test_what_cannot_be_is_one_line(recipe: Keys, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        onsa.tune(**recipe(method="expand", **keys))


def step_in(folder: Path) -> Step:
    run = SimpleNamespace(
        progress=None, recipe=SimpleNamespace(trust_remote_code=False), companions=folder
    )
    return Step("expanded", folder, cast(Run, run))


def logits(folder: Path) -> torch.Tensor:
    model, told = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(IDS).logits
    return found


@pytest.mark.parametrize("where", ["spread", "end"])
@pytest.mark.parametrize("architecture", sorted({*ARCHITECTURES} - {*NORMS_AFTER}))
def test_the_expanded_model_is_the_same_function(
    architecture: str, where: Any, tiny_model: TinyModel, tmp_path: Path
) -> None:
    base = import_base(step_in(tmp_path), Weights(tiny_model(architecture)), False)
    order = block_order(2, Expand(blocks=2, where=where))
    expanded = add_blocks(step_in(tmp_path), base=base, order=order)
    assert torch.equal(logits(expanded.folder), logits(base.folder))
    config = AutoConfig.from_pretrained(expanded.folder)
    assert config.num_hidden_layers == 4
    if kinds := getattr(AutoConfig.from_pretrained(base.folder), "layer_types", None):
        assert config.layer_types == [kinds[source] for source in order]
    added = {"llama": LLAMA_BLOCK, "gpt2": GPT2_BLOCK}.get(architecture)
    if added:
        assert expanded.entry_count - base.entry_count == 2 * added


def test_lists_with_a_value_for_each_block_grow(tmp_path: Path) -> None:
    config = AutoConfig.for_model("gemma2", num_hidden_layers=4)
    deepen(config, [0, 0, 1, 2, 3, 3]).save_pretrained(tmp_path)
    found = AutoConfig.from_pretrained(tmp_path)
    sliding, full = "sliding_attention", "full_attention"
    assert found.layer_types == [sliding, sliding, full, sliding, full, full]


@pytest.mark.parametrize("architecture", NORMS_AFTER)
def test_where_norms_come_after_the_sum_no_block_is_identity(
    architecture: str, tmp_path: Path
) -> None:
    config = AutoConfig.for_model(architecture, vocab_size=99, is_decoder=True, **SHAPE)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape) if "LayerNorm" in name else 0
    save_by_parameter(model, tmp_path / "base")
    with pytest.raises(InputError, match=f"in a {architecture} an added block cannot start as"):
        add_blocks(step_in(tmp_path), base=Weights(tmp_path / "base"), order=[0, 1, 1])


@pytest.mark.parametrize(("architecture", "block"), [("llama", LLAMA_BLOCK), ("gpt2", GPT2_BLOCK)])
def test_only_new_blocks_move(recipe: Keys, architecture: str, block: int) -> None:
    strained = {"weight_decay": 0.1, "max_grad_norm": 0.5, "output_dtype": "float32"}
    run = onsa.tune(**recipe(architecture, method="expand", every=1, **strained))
    facts = next(record.facts for record in run.history if record.name == "expand")
    assert facts["trained_entries"] == 2 * block
    assert facts["held"]["entries"] == run.base.entry_count
    tuned = Weights(run / "model")
    old_number = {"0": "0", "2": "1"}  # base's blocks in the new model
    for name in tuned.names:
        number = place_of(name).block
        was = name.replace(f".{number}.", f".{old_number.get(number, '0')}.", 1)
        if number.isdigit() and number not in old_number:
            start = run.starts["expand"]
            assert not torch.equal(tuned[name], start[name]), name
        else:
            assert torch.equal(tuned[name], run.base[was if number.isdigit() else name]), name
    assert logits(run / "model").shape[-1] == run.base.shapes[embedding(run.base)][0]
    assert read_json(run / "model" / "config.json").get("num_hidden_layers", 4) == 4
    assert any("4 blocks, of which 2 are the base's" in note for note in run.notes)
    said = reply_to(load_scorer(run.folder), [{"role": "user", "content": "again ba"}], 4)
    assert isinstance(said, str)


def embedding(weights: Weights) -> str:
    return next(name for name in weights.names if "embed_tokens" in name or "wte" in name)


def test_tasks_are_added_to_an_expanded_model(recipe: Keys) -> None:
    given = recipe(method="expand", blocks=1, baselines=["cpi_ft"], num_train_epochs=0.3)
    *first, last = given["tasks"]
    run = onsa.tune(**{**given, "tasks": first})
    assert not load_state(run.folder).cores  # the baseline's are of another model
    added = add_by_recipe(run.folder, {"tasks": [last], "num_train_epochs": 0.3})
    model = AutoModelForCausalLM.from_pretrained(added / "model")
    assert model.config.num_hidden_layers == 3
    held = read_json(added / "report.json")["additions"][0]["held_entries"]
    assert 0 < held < run.base.entry_count
