"""Packed examples do not see each other, and train as they would alone."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

import onsa
from onsa.data.batches import plan_epochs, sequences_of
from onsa.data.encoded import UNTRAINED, Encoded
from onsa.errors import InputError
from onsa.files import read_json
from onsa.losses import token_losses
from onsa.models.positions import first_position
from onsa.training.collators import PlainCollator
from onsa.training.packing import PackingCollator, measure_neighbours, require_apart
from tests.conftest import ARCHITECTURES

TinyModel = Callable[..., Path]
Keys = Callable[..., dict[str, Any]]
APART = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt2", "gpt_neox")
MIXED = ("bert", "roberta")  # as decoders they are not told of positions that begin anew
WINDOW = {"gemma2", "gemma3_text", "mistral"}
ON_ACCELERATORS = ("flash_attention_2", "flex_attention")
KERNELS = ("eager", "sdpa", *ON_ACCELERATORS)


def rows_of(*lengths: int, seed: int = 0) -> list[tuple[int, Encoded]]:
    draw = random.Random(seed)
    rows = []
    for number, length in enumerate(lengths):
        ids = [draw.randrange(3, 290) for _ in range(length)]
        trained = length // 2  # of a row of one token the first, which nothing may predict
        rows.append((number % 2, Encoded(ids, [UNTRAINED] * trained + ids[trained:])))
    return rows


def load(folder: Path, kernel: str) -> Any:
    try:
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=kernel).eval()
    except (ValueError, ImportError) as fault:
        pytest.skip(f"not here: {str(fault)[:80]}")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("architecture", APART)
def test_pain_P16_no_token_sees_another_document(
    tiny_model: TinyModel, architecture: str, kernel: str
) -> None:
    """Through the real collator: each row's logits are those of the row alone, and do not change
    by a bit when its neighbours do. Red where the positions run on, or an attention mask of ones is
    given with them. Windows are shorter than the rows."""
    if kernel in ON_ACCELERATORS and not torch.cuda.is_available():
        pytest.skip("needs an accelerator")
    keys = {"initializer_range": 0.3, **({"sliding_window": 6} if architecture in WINDOW else {})}
    model = load(tiny_model(architecture, **keys), kernel)
    rows = rows_of(9, 14, 5, 20, 1, 7)
    collate = PackingCollator(PlainCollator(0, ["a", "b"]), 0, 32, first_position(model.config))
    found = logits_by_row(model, collate(rows), rows)
    for number, (_, row) in enumerate(rows):
        alone = logits(model, torch.tensor([row.ids]), None)[0]
        torch.testing.assert_close(found[number], alone, rtol=1e-4, atol=1e-4)
    others = rows_of(9, 14, 5, 20, 1, 7, seed=1)
    for number in range(len(rows)):
        mixed = [*others[:number], rows[number], *others[number + 1 :]]
        assert torch.equal(logits_by_row(model, collate(mixed), mixed)[number], found[number])


def logits(model: Any, ids: Any, positions: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=ids, position_ids=positions, use_cache=False).logits


def logits_by_row(model: Any, batch: dict[str, Any], rows: list[tuple[int, Encoded]]) -> list[Any]:
    made = logits(model, batch["input_ids"], batch["position_ids"])
    found, number, start = [], 0, 0
    for _, row in rows:
        if start + len(row.ids) > 32:
            number, start = number + 1, 0
        found.append(made[number, start : start + len(row.ids)])
        start += len(row.ids)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pain_P16_a_model_that_mixes_documents_is_refused(
    tiny_model: TinyModel, architecture: str
) -> None:
    """Tried on the model itself. Red where the try is left out: BERT as a decoder mixes them."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model(architecture)).train()
    before = torch.get_rng_state()
    seen, rounded = measure_neighbours(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    if architecture in MIXED:
        assert seen > 1e-3
        with pytest.raises(InputError, match=r"does not keep packed examples apart.*take the key"):
            require_apart(model)
    else:
        assert seen == 0
        assert rounded < 1e-5
        require_apart(model)


@pytest.mark.parametrize("method", ["p_tuning", "prefix"])
def test_pain_P16_virtual_tokens_are_seen_by_the_try_too(
    tiny_model: TinyModel, method: str
) -> None:
    """Red without the try on the model (`require_apart`)."""
    from onsa.training.adapters import add_adapter

    model = AutoModelForCausalLM.from_pretrained(tiny_model())
    kind = {"p_tuning": "p_tuning", "prefix": "prefix_tuning"}[method]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = add_adapter(model, kind, {"num_virtual_tokens": 4})
    with pytest.raises(InputError, match="does not keep packed examples apart"):
        require_apart(tuned)


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "gpt2"])
def test_the_loss_is_the_same_packed_or_not(tiny_model: TinyModel, architecture: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model(architecture)).eval()
    rows = rows_of(9, 14, 5, 20, 1, 7)
    plain = PlainCollator(0, ["a", "b"])
    packed = PackingCollator(plain, 0, 32, first_position(model.config))
    found = []
    for collate in (plain, packed):
        with torch.no_grad():
            losses, owners = token_losses(model, collate(rows))
        found.append((len(losses), losses.sum(), losses[owners == 0].sum()))
    assert found[0][0] == found[1][0] == sum(row.trained_tokens for _, row in rows)
    torch.testing.assert_close(torch.stack(found[0][1:]), torch.stack(found[1][1:]))


def test_training_is_the_same_packed_or_not(recipe: Keys, tmp_path: Path) -> None:
    """Every row in one step: the weights after it agree within rounding, on fewer tokens."""
    from onsa.weights import Weights

    ends, facts = [], []
    for packing in (False, True):
        size = 200 if not packing else 60
        keys = recipe(
            method="full", packing=packing, max_length=64, per_device_train_batch_size=size,
            output=str(tmp_path / str(packing)), warmup_ratio=0,
        )  # fmt: skip
        run = onsa.tune(**keys)
        ends.append(Weights(run / "model"))
        facts.append(next(r.facts for r in run.history if r.name == "full"))
    for name in ends[0].names:
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=0, atol=2e-4)
    assert facts[0]["trained_tokens"] == facts[1]["trained_tokens"]


def test_packing_takes_less_steps_and_fewer_operations(recipe: Keys, tmp_path: Path) -> None:
    found = []
    for packing in (False, True):
        keys = recipe(method="full", packing=packing, max_length=128, eval_rows=2)
        run = onsa.tune(**{**keys, "output": str(tmp_path / str(packing))})
        points = read_json(run / "report.json")["curves"][0]["points"]
        assert set(points) == {"echo", "upper", "after"}
        found.append(next(r.facts for r in run.history if r.name == "full"))
    assert found[1]["steps"] < found[0]["steps"] / 4
    assert found[1]["trained_tokens"] == found[0]["trained_tokens"]


@given(st.lists(st.integers(2, 40), min_size=1, max_size=80), st.integers(1, 5))
def test_every_row_is_packed_once_and_no_sequence_is_too_long(
    lengths: list[int], batch_size: int
) -> None:
    rows = [Encoded([1] * n, [UNTRAINED] + [1] * (n - 1)) for n in lengths]
    plan = plan_epochs({"a": rows}, {"a": 1.0}, 1, batch_size, 0, 40)
    assert sorted(row for batch in plan for _, row in batch) == list(range(len(rows)))
    for batch in plan:
        sequences = sequences_of([lengths[row] for _, row in batch], 40)
        assert len(sequences) <= batch_size
        assert all(sum(each) <= 40 for each in sequences)
