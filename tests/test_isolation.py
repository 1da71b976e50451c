"""What is held does not move by a single bit, with everything on that could move it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.isolation import Hold, prove_held
from onsa.masks import ParameterMask
from onsa.recipe.training import Training
from onsa.run import Run
from onsa.training.train import train
from onsa.weights import Weights

EVERYTHING_ON = Training(
    learning_rate=1e-2,
    num_train_epochs=4,
    weight_decay=0.3,
    max_grad_norm=0.5,
    gradient_accumulation_steps=2,
    per_device_train_batch_size=4,
    lr_scheduler_type="cosine",
    warmup_ratio=0.2,
    precision="float32",
)


class Words:
    """A task of saying a word again."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self.weight = 1.0
        self.digest = f"{name} {words}"
        self.train = [
            Example(({"role": "user", "content": name}, {"role": "assistant", "content": word}))
            for word in words
        ]


TASKS = [Words("a", ["ba", "be", "bi"] * 6), Words("b", ["bo", "bu"] * 5)]


@pytest.fixture
def run(tmp_path: Path, tokenizer: Any, tiny_model: Callable[..., Path]) -> Run:
    run = Run(tmp_path / "run")
    run.encoder = Encoder(tokenizer, 100)
    run.companions = tiny_model()
    return run


def fifth(weights: Weights) -> ParameterMask:
    """A random fifth of all entries, and one tensor whole."""
    draw = torch.Generator().manual_seed(5)
    tensors = {n: torch.rand(s, generator=draw) < 0.2 for n, s in weights.float_shapes.items()}
    tensors["model.norm.weight"].fill_(True)
    return ParameterMask.of(tensors)


def trained(run: Run, base: Weights, name: str = "x", **changes: Any) -> dict[str, Any]:
    inputs = {"training": EVERYTHING_ON, "seed": 1, "encoder": run.encoder, **changes}
    return run.step(name, train, start=base, tasks=TASKS, **inputs)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_held_entries_do_not_move_and_the_others_do(
    run: Run, tiny_model: Callable[..., Path], architecture: str
) -> None:
    base = Weights(tiny_model(architecture))
    mask = (
        fifth(base)
        if architecture == "llama"
        else ParameterMask.matching(base.float_shapes, ["*.0.*"])
    )
    after = trained(run, base, hold=mask)["weights"]
    moved = {name: base[name] != after[name] for name in base.names}
    assert not any((moved[name] & mask[name]).any() for name in mask.shapes)
    free = sum(int((moved[name] & ~mask[name]).sum()) for name in mask.shapes)
    assert free > 0.9 * (mask.entry_count - mask.count) * 0.5
    proof = run.history[-1].facts["held"]
    assert proof["changed"] == 0
    assert proof["entries"] == mask.count
    assert proof["digest_before"] == proof["digest_after"]


def test_zeroing_the_gradient_alone_does_not_hold(
    run: Run, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof sees it when the protection is taken out."""
    monkeypatch.setattr(Hold, "put_back", lambda self: None)
    base = Weights(tiny_model())
    with pytest.raises(AssertionError, match="held entries changed"):
        trained(run, base, hold=fifth(base))


def test_the_proof_compares_bits_not_values(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    base = Weights(tiny_model())
    tensors = load_file(base.folder / "model.safetensors")
    tensors["model.norm.weight"][0] = -0.0
    save_file(tensors, tmp_path / "model.safetensors")
    minus = Weights(tmp_path)
    (tmp_path / "zero").mkdir()
    tensors["model.norm.weight"][0] = 0.0
    save_file(tensors, tmp_path / "zero" / "model.safetensors")
    mask = ParameterMask.matching(base.float_shapes, ["model.norm.weight"])
    assert prove_held(minus, minus, mask)["changed"] == 0
    assert prove_held(minus, Weights(tmp_path / "zero"), mask)["changed"] == 1


def test_held_gradients_do_not_shrink_the_others_by_clipping(
    tiny_model: Callable[..., Path],
) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model())
    mask = fifth(Weights(tiny_model()))
    hold = Hold(model, mask)
    ids = torch.arange(12).reshape(2, 6)
    model(input_ids=ids, labels=ids).loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and name in mask.shapes:
            assert not parameter.grad[mask[name]].any(), name
    hold.release()


def test_the_same_seed_gives_the_same_bytes(run: Run, tiny_model: Callable[..., Path]) -> None:
    base = Weights(tiny_model())
    one, two = trained(run, base, "one"), trained(run, base, "two")
    other = trained(run, base, "three", seed=2)
    assert one["weights"].digest == two["weights"].digest != other["weights"].digest


def test_pain_P15_accumulation_does_not_change_the_loss(
    run: Run, tiny_model: Callable[..., Path]
) -> None:
    """Eight rows at once, or one by one over eight steps of accumulation: the same step.

    Red where losses are divided by each batch and not by all tokens of the step.
    """
    base = Weights(tiny_model())
    rows = Words("a", ["ba", "be", "bi bo bu ba", "bo", "bu bu", "ba ba ba", "be be", "bi"])
    ends = []
    for size, steps in ((8, 1), (1, 8)):
        training = Training(
            learning_rate=1e-3, num_train_epochs=1, warmup_ratio=0, precision="float32",
            per_device_train_batch_size=size, gradient_accumulation_steps=steps,
        )  # fmt: skip
        done = run.step(
            f"by {size}", train, start=base, tasks=[rows], training=training, seed=0,
            encoder=run.encoder,
        )  # fmt: skip
        ends.append(done["weights"])
    for name in base.names:
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=0, atol=2e-5)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_state(
    run: Run, tiny_model: Callable[..., Path]
) -> None:
    base = Weights(tiny_model())
    wild = EVERYTHING_ON.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 0.0})
    with pytest.raises(InputError, match=r"task 'a'|task 'b'|gradient") as caught:
        trained(run, base, training=wild)
    assert "optimizer step" in str(caught.value)
    kept = next(run.folder.rglob("last_good/weights"))
    assert all(torch.isfinite(Weights(kept)[name]).all() for name in base.names)


def test_a_token_budget_ends_the_training(run: Run, tiny_model: Callable[..., Path]) -> None:
    done = trained(run, Weights(tiny_model()), token_budget=40)
    assert abs(done["trained_tokens"] - 40) < 10


def test_the_second_moment_is_kept_under_the_names_of_the_weights(
    run: Run, tiny_model: Callable[..., Path]
) -> None:
    base = Weights(tiny_model())
    done = trained(run, base, keep_second_moment=True)
    assert done["second_moment"].shapes == base.shapes
    assert all((done["second_moment"][name] >= 0).all() for name in base.names)
    assert any((done["second_moment"][name] > 0).any() for name in base.names)


def test_parts_of_one_schedule_follow_it(
    run: Run, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two halves of a schedule have the rates of the whole, and warm up once."""
    import onsa.training.trainer

    rates: list[float] = []

    def watch(self: Any, args: Any, state: Any, control: Any, **kw: Any) -> None:
        rates.append(kw["optimizer"].param_groups[0]["lr"])

    monkeypatch.setattr(onsa.training.trainer._Callback, "on_optimizer_step", watch)
    base = Weights(tiny_model())
    short = EVERYTHING_ON.model_copy(update={"gradient_accumulation_steps": 1})
    whole, half = (short.model_copy(update={"max_steps": n}) for n in (8, 4))
    trained(run, base, "whole", training=whole)
    expected, rates[:] = list(rates), []
    trained(run, base, "first", training=half, part_of_schedule=(0.0, 0.5))
    trained(run, base, "second", training=half, part_of_schedule=(0.5, 1.0))
    assert rates == pytest.approx(expected)
    assert rates[0] < max(rates) > rates[-1]
