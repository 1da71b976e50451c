"""Every method on every architecture: it trains, moves and exports, or says why it cannot.

What is refused stands in a table, so that nothing is refused by accident. Runs are as small as they
can be, and those of one architecture share a folder: what is alike in them is done once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import onsa
from onsa.choosing.choices import block_count, choose, depth_of, tied_head
from onsa.errors import InputError
from onsa.files import read_json
from onsa.methods import all_methods
from onsa.methods.layernorm import output_norms
from onsa.models.base_model import check_model, position_count
from onsa.models.places import place_of
from onsa.prepare.notes import model_notes
from onsa.weights import Weights
from tests.conftest import ARCHITECTURES, write_rows
from tests.test_methods import LIKE_IA3, loads, models

TinyModel = Callable[..., Path]

# Settings under which a method meets other parts of a model than with its example.
VARIANTS: dict[str, dict[str, Any]] = {
    "bitfit": {"method": "partial", "parts": ["bias"]},
    "head": {"method": "partial", "parts": ["head"]},
    "fisher": {"method": "layernorm", "norms": "fisher", "fisher_rows": 2},
}
NO_BIAS = ("llama", "mistral", "qwen3", "gemma2", "gemma3_text")
TIED = ("llama", "qwen2", "gemma2", "gemma3_text", "gpt2")
REFUSED = {
    **{("bitfit", each): "the model has no bias of its own" for each in NO_BIAS},
    **{("head", each): "its head is the embedding, tied" for each in TIED},
    ("prefix", "roberta"): "not tested on a roberta",
    **{(each, "roberta"): "positions begin behind" for each in ("p_tuning", "prompt_tuning")},
}
# PEFT's adapters differ in the modules they can sit on, and test_peft_methods.py puts each of them
# on every architecture; here only on the one with names in files that parameters do not have.
CASES = [
    pytest.param(name, architecture, id=f"{architecture}-{name}")
    for architecture in ARCHITECTURES
    for name in [*all_methods(), *VARIANTS]
    if name not in LIKE_IA3 or architecture == "gpt_neox"
]
IDS = torch.arange(3, 43)[None]


@pytest.fixture(scope="session")
def recipe_on(
    tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """`recipe_on("bert")` are the keys of a run of two steps on two tasks of eight rows."""
    folder = tmp_path_factory.mktemp("architectures")
    tasks = []
    for task in ("left", "right"):
        rows = [{"prompt": f"{task} {n}", "completion": f"{n}"} for n in range(10)]
        train = write_rows(folder / f"{task}.jsonl", rows)
        tasks.append({"name": task, "train": str(train), "eval_rows": 2, "max_new_tokens": 2})

    def keys(architecture: str) -> dict[str, Any]:
        return {
            "model": str(tiny_model(architecture)),
            "output": str(folder / architecture),
            "tasks": tasks,
            "max_steps": 2,
            "learning_rate": 3e-3,
            "precision": "float32",
        }

    return keys


@pytest.mark.parametrize(("name", "architecture"), CASES)
def test_it_trains_and_loads_or_says_why_not(
    name: str, architecture: str, recipe_on: Callable[[str], dict[str, Any]]
) -> None:
    chosen = VARIANTS.get(name) or {"method": name, **all_methods()[name].example}
    given = {**recipe_on(architecture), **chosen}
    if (name, architecture) in REFUSED:
        with pytest.raises(InputError, match=re.escape(REFUSED[name, architecture])) as told:
            onsa.tune(**given)
        assert "\n" not in str(told.value)
        return
    run = onsa.tune(**given)
    assert all(entry["changed"] == 0 for entry in read_json(run / "report.json")["held"])
    before = logits(AutoModelForCausalLM.from_pretrained(given["model"]))
    for label, folder in models(run).items():
        after = logits(loads(folder))
        assert torch.isfinite(after).all()
        assert torch.equal(after, before) != all_methods()[chosen["method"]].trains, label


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> Iterator[Any]:
    config = AutoConfig.for_model(request.param, vocab_size=320, **ARCHITECTURES[request.param])
    with torch.device("meta"):
        yield AutoModelForCausalLM.from_config(config)


def test_every_parameter_has_its_place(model: Any) -> None:
    """The roles by what the modules are, the order by when they are called."""
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    assert block_count(shapes) == 2
    for name in shapes:
        kind = type(model.get_submodule(name.rpartition(".")[0])).__name__
        assert place_of(name).role != "other", name
        assert (place_of(name).role == "norm") == ("Norm" in kind), name
        assert (place_of(name).role == "embedding") == ("Embedding" in kind), name
        inside = bool(re.search(r"\.[01]\.", name))
        assert place_of(name).block.isdigit() == inside, name
    depths = {depth_of(name, 2) for name in shapes if place_of(name).role == "embedding"}
    assert depths == {0}
    words = model.get_input_embeddings().weight
    tied = words is model.get_output_embeddings().weight
    assert (tied_head(shapes) is not None) == tied


def test_output_norms_are_two_and_within_reach(model: Any) -> None:
    """Of two blocks: one each, with weight and bias where norms have biases."""
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    modules = {name.rpartition(".")[0] for name in output_norms(shapes)}
    assert len(modules) == 2
    assert modules <= {n.rpartition(".")[0] for n in choose_norms(shapes)}


def choose_norms(shapes: dict[str, tuple[int, ...]]) -> set[str]:
    counts = choose(shapes, parts=["norm"]).count_by_name()
    return {name for name, count in counts.items() if count}


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "roberta"])
def test_the_positions_are_as_many_as_the_model_has(
    architecture: str, tiny_model: TinyModel
) -> None:
    """Of RoBERTa's 513 the first is its padding token's, of which other tools are to know."""
    folder = tiny_model(architecture)
    told = " ".join(model_notes(check_model(Weights(folder))))
    assert ("give it position_ids" in told) == (architecture == "roberta")
    count = position_count(folder)
    assert count == 512
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model(input_ids=torch.full((1, count), 5))
        with pytest.raises((IndexError, RuntimeError), match=r"out of|size of the tensor \(513"):
            model(input_ids=torch.full((1, count + 1), 5))
