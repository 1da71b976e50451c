"""FLOPs of a training: as torch's own counter has them, and spread over what changes on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

import onsa
from onsa.run import Run
from onsa.training.flop_meter import COUNTED_STEPS, Counter, FlopMeter
from onsa.training.steering import let_train

Keys = Callable[..., dict[str, Any]]


def load(folder: Path, attention: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation=attention, dtype=torch.float32
    )


def flops_of_a_step(model: Any, counter: Any) -> int:
    ids = torch.arange(60).reshape(3, 20)
    with counter:
        model(input_ids=ids, labels=ids).loss.backward()
    return counter.flops if isinstance(counter, Counter) else counter.get_total_flops()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("frozen", [False, True])
def test_it_counts_as_torch_does(
    tiny_model: Callable[..., Path], architecture: str, frozen: bool
) -> None:
    counts = []
    for counter in (Counter(), FlopCounterMode(display=False)):
        model = load(tiny_model(architecture), "eager")
        if frozen:
            parameters = dict(model.named_parameters())
            let_train(parameters, {name for name in parameters if ".1." in name})
        counts.append(flops_of_a_step(model, counter))
    assert counts[0] == counts[1] > 0


def test_the_kernel_of_cpus_counts_like_the_attention_it_stands_for(
    tiny_model: Callable[..., Path],
) -> None:
    """Its backward pass recomputes the scores: one more product of the five, by torch's formula."""
    eager = flops_of_a_step(load(tiny_model(), "eager"), Counter())
    fused = flops_of_a_step(load(tiny_model(), "sdpa"), Counter())
    rows, heads, length, width, blocks = 3, 4, 20, 8, 2
    product = 2 * rows * heads * length * length * width
    assert fused - eager == blocks * product


def test_some_steps_stand_for_all() -> None:
    meter = FlopMeter(100)
    assert len(meter.counted_steps) == COUNTED_STEPS
    assert meter.counted_steps == {12, 37, 62, 87}
    left, right = torch.ones(4, 5), torch.ones(5, 6)
    for step in range(100):
        with meter.counting(step, 10):
            left @ right
    assert meter.of(1000) == 100 * 2 * 4 * 5 * 6
    assert FlopMeter(3).counted_steps == {0, 1, 2}


def facts_of(run: Run) -> dict[str, Any]:
    return next(r.facts for r in run.history if "training_flops" in r.facts)


def test_a_training_tells_what_it_took(recipe: Keys, tmp_path: Path) -> None:
    full = facts_of(onsa.tune(**recipe(method="full")))
    lora = facts_of(onsa.tune(**recipe(method="lora", output=str(tmp_path / "lora"))))
    assert full["processed_tokens"] == lora["processed_tokens"]
    assert full["optimizer_bytes"] >= 8 * full["trained_entries"]  # Adam's two moments, float32
    assert lora["optimizer_bytes"] < 0.1 * full["optimizer_bytes"]
    assert lora["training_flops"] < full["training_flops"]
    # Two multiply-adds forward and four backward for each weight of the blocks at least; the
    # embedding's part depends on how few positions have logits.
    weights = 2 * (32 * 32 * 2 + 2 * 32 * 16 + 3 * 32 * 64)
    assert full["training_flops"] > 6 * weights * full["processed_tokens"]
    assert full["training_flops"] < 6 * 4 * weights * full["processed_tokens"]
    assert full["energy_kwh"] is None
