"""LoRA over a base in 4 bits: what is trained is what is scored, chats and is merged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM

import onsa
from onsa.commands.chat import load_scorer, reply_to
from onsa.commands.merge import difference_in_use, fold, merge_adapter
from onsa.errors import InputError
from onsa.files import read_json, write_json
from onsa.methods.lora import Lora, add_lora
from onsa.models import quantization
from onsa.models.base_model import open_tuned
from onsa.models.loading import load_dequantised, load_model, load_quantised
from onsa.models.saving import save_trained
from onsa.weights import Weights
from tests.command_line import onsa as command
from tests.conftest import ARCHITECTURES

Keys = Callable[..., dict[str, Any]]
TinyModel = Callable[..., Path]
QUICK = {"method": "lora", "quantization": "nf4", "num_train_epochs": 0.2}
ADAPTER = "model/adapter_model.safetensors"
IDS = torch.arange(3, 40)[None]

library = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("bitsandbytes"),
    reason="needs the extra 'qlora'",
)


def logits_of(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


@library
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")  # PEFT mends it on GPT-2
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_what_is_used_and_merged_is_what_was_trained(
    architecture: str, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder = tiny_model(architecture, initializer_range=0.1)
    base = Weights(folder)
    torch.manual_seed(0)
    model = add_lora(Lora(r=2, use_dora=True), load_quantised(base, "nf4", torch.float32))
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data += 0.05 * torch.randn_like(parameter)
    trained = logits_of(model)
    adapter = save_trained(model, tmp_path, base)
    assert adapter.quantization == "nf4"
    torch.testing.assert_close(logits_of(load_model(adapter)), trained, rtol=1e-4, atol=1e-5)
    merged, difference = fold(load_dequantised(adapter).eval(), tmp_path)
    assert difference < 1e-5
    torch.testing.assert_close(logits_of(merged), trained, rtol=1e-4, atol=1e-4)
    assert difference_in_use(merged, adapter) < 1e-5
    assert type(merged) is type(AutoModelForCausalLM.from_pretrained(folder))
    floats = logits_of(PeftModel.from_pretrained(load_model(base), adapter.folder))
    assert (floats - trained).abs().max() > 0.1 * trained.abs().max()  # another base, other words


@library
def test_a_run_is_scored_over_the_base_in_four_bits(recipe: Keys, tmp_path: Path) -> None:
    run = onsa.tune(**recipe(**QUICK))
    assert read_json(run / "model" / "base.json") == {"quantization": "nf4"}
    adapter = open_tuned(run / "model")
    assert "Linear4bit" in {type(module).__name__ for module in load_model(adapter).modules()}
    assert isinstance(reply_to(load_scorer(run.folder), [{"role": "user", "content": "b"}], 4), str)
    again = onsa.tune(**recipe(**QUICK, output=str(tmp_path / "again")))
    assert (run / ADAPTER).read_bytes() == (again / ADAPTER).read_bytes()
    said = merge_adapter(run.folder)
    assert "its base's matrices have the values of 4 bits (nf4)" in said
    assert "quantization_config" not in read_json(run / "merged" / "config.json")
    assert AutoPeftModelForCausalLM.from_pretrained(run / "model") is not None  # plain PEFT


@library
def test_a_folder_that_names_another_base_is_one_line(recipe: Keys) -> None:
    run = onsa.tune(**recipe(**QUICK))
    write_json(run / "model" / "base.json", {"quantization": "int3"})
    with pytest.raises(InputError, match="a base held as 'int3' is not known here; write 'nf4'"):
        load_model(open_tuned(run / "model"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"quantization": "nf5"}, "quantization: .*nf4"),
        ({"quantization": "nf4", "bias": "all"}, "biases of a base in 4 bits: they cannot train"),
    ],
)
def test_what_cannot_be_is_one_line(recipe: Keys, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        onsa.tune(**recipe(method="lora", **given))


def test_without_the_library_nothing_is_trained(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    write_json(tmp_path / "recipe.yaml", {**recipe(**QUICK), "output": "run"})
    for verb in ("check", "tune"):
        said = command(verb, tmp_path / "recipe.yaml").refused()
        assert "quantization: needs the library 'bitsandbytes'; pip install 'onsa[qlora]'" in said
    assert not (tmp_path / "run").exists()


@library
def test_a_device_without_four_bits_is_refused(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*given: Any, **named: Any) -> None:
        raise NotImplementedError("no kernel")

    monkeypatch.setattr(quantization.bitsandbytes().functional, "quantize_4bit", missing)
    with pytest.raises(InputError, match="does not hold matrices in 4 bits on this machine's cpu"):
        onsa.tune(**recipe(**QUICK))
    assert not (tmp_path / "run").exists()
