"""Bottleneck adapters: where they sit, what they add, and that PEFT loads them."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

import onsa
from onsa.adapter import Adapter
from onsa.commands.chat import load_scorer, reply_to
from onsa.commands.merge import merge_adapter
from onsa.errors import InputError
from onsa.methods.bottleneck import Bottleneck, add_bottlenecks
from onsa.models.loading import load_model
from onsa.models.peft_bottleneck import BottleneckConfig, BottleneckLayer
from onsa.weights import Weights
from tests.conftest import ARCHITECTURES, SHAPE

Keys = Callable[..., dict[str, Any]]
HIDDEN, BLOCKS, WIDTH = 32, 2, 8
ONE = 2 * WIDTH * HIDDEN + WIDTH + HIDDEN  # two matrices, two biases
OTHERS: dict[str, dict[str, Any]] = {
    "bert": {**SHAPE, "is_decoder": True},
    "roberta": {**SHAPE, "is_decoder": True, "pad_token_id": 1},
}
IDS = torch.arange(3, 40)[None]


def random_model(architecture: str, **changes: Any) -> Any:
    keys = {**ARCHITECTURES, **OTHERS}.get(architecture, SHAPE)
    config = AutoConfig.for_model(
        architecture, **{"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, **keys, **changes}
    )
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def shaken(model: Any) -> Any:
    """The model with adapters that add something."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn(parameter.shape)
    return model.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(IDS).logits
    return found


@pytest.mark.parametrize(("placement", "each"), [("houlsby", 2), ("pfeiffer", 1)])
@pytest.mark.parametrize("architecture", sorted({**ARCHITECTURES, **OTHERS}))
def test_it_starts_at_the_base_with_as_many_parameters_as_the_formula_says(
    architecture: str, placement: Any, each: int
) -> None:
    model = random_model(architecture)
    before = logits(model)
    adapted = add_bottlenecks(Bottleneck(placement=placement, bottleneck=WIDTH), model)
    trained = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    assert all(".onsa_down." in name or ".onsa_up." in name for name in trained)
    assert sum(p.numel() for p in trained.values()) == BLOCKS * each * ONE
    assert torch.equal(logits(adapted.eval()), before)
    assert not torch.allclose(logits(shaken(adapted)), before)
    with adapted.disable_adapter():
        assert torch.equal(logits(adapted), before)


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


@pytest.mark.parametrize(
    ("name", "function"),
    [("relu", lambda x: x.clamp(min=0)), ("gelu", gelu), ("silu", lambda x: x / (1 + (-x).exp()))],
)
def test_what_it_adds_is_the_formula(name: Any, function: Any) -> None:
    base = torch.nn.Linear(5, 4)
    config = BottleneckConfig(bottleneck=3, non_linearity=name, scaling=0.5)
    layer = shaken(BottleneckLayer(base, "default", config))
    down, up = layer.onsa_down["default"], layer.onsa_up["default"]
    x = torch.randn(7, 5)
    h = x @ base.weight.T + base.bias
    added = function(h @ down.weight.T + down.bias) @ up.weight.T + up.bias
    torch.testing.assert_close(layer(x), h + 0.5 * added)


def test_the_down_projection_starts_as_in_the_paper() -> None:
    layer = BottleneckLayer(torch.nn.Linear(4, 400), "default", BottleneckConfig(bottleneck=100))
    weight = layer.onsa_down["default"].weight.detach()
    assert float(weight.abs().max()) <= 0.02
    assert float(weight.std()) == pytest.approx(0.0088, rel=0.02)  # 0.01, cut off at two of them


def test_keys_and_values_that_are_kept_say_the_same() -> None:
    adapted = shaken(add_bottlenecks(Bottleneck(bottleneck=WIDTH), random_model("llama")))
    replies = [
        adapted.generate(IDS, max_new_tokens=8, do_sample=False, use_cache=cached)
        for cached in (True, False)
    ]
    assert torch.equal(*replies)


def test_a_mixture_of_experts_is_refused() -> None:
    model = random_model("mixtral", num_key_value_heads=2, num_local_experts=4)
    with pytest.raises(InputError, match="where the mlp of a mixtral writes is not known here"):
        add_bottlenecks(Bottleneck(), model)


ALONE = """
import sys
import torch
from peft import AutoPeftModelForCausalLM

try:
    AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])
except KeyError as fault:
    print(fault)
import onsa.models.peft_bottleneck
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1]).eval()
with torch.inference_mode():
    torch.save(model(torch.arange(3, 40)[None]).logits, sys.argv[2])
"""


def load_alone(*given: Path) -> str:
    """What a process says that knows nothing else of onsa."""
    command = [sys.executable, "-c", ALONE, *map(str, given)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_a_run_s_adapter_loads_in_a_process_that_imports_one_module(
    recipe: Keys, tmp_path: Path
) -> None:
    run = onsa.tune(**recipe("gpt2", method="adapter", bottleneck=WIDTH, num_train_epochs=0.3))
    stored = load_file(run / "model" / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == BLOCKS * 2 * ONE
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert "import onsa.models.peft_bottleneck\nfrom peft import AutoPeftModelForCausalLM" in card
    said = load_alone(run / "model", tmp_path / "logits.pt")
    assert said.strip() == "'ONSA_BOTTLENECK'"  # what PEFT says before the import
    ours = load_model(Adapter(run / "model", Weights(run.base.folder))).eval()
    alone = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert torch.equal(alone, logits(ours))
    base = AutoModelForCausalLM.from_pretrained(run.base.folder, dtype=torch.float32).eval()
    assert not torch.equal(alone, logits(base))
    assert isinstance(PeftModel.from_pretrained(base, run / "model"), PeftModel)

    with pytest.raises(InputError, match=r"onsa_bottleneck cannot be merged .*not linear"):
        merge_adapter(run.folder)
    assert not (run / "merged").exists()
    said = reply_to(load_scorer(run.folder), [{"role": "user", "content": "again ba"}], 4)
    assert isinstance(said, str)
