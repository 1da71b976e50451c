"""The exact top share, against a full sort."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from onsa import weight_ops
from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.weight_ops import count_of_share, in_order, noise, random_entries, top_count, top_share

Model = dict[str, Tensor]


def reader(model: Model) -> weight_ops.Saliency:
    return lambda name, start, stop: model[name].reshape(-1)[start:stop]


def shapes_of(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.items()}


def by_full_sort(model: Model, count: int) -> dict[str, Tensor]:
    """The largest of all; a stable sort leaves equals in the order of names and indices."""
    everything = torch.cat([model[name].reshape(-1) for name in sorted(model)]).numpy()
    chosen = np.zeros(everything.size, dtype=bool)
    chosen[np.argsort(-everything, kind="stable")[:count]] = True
    parts = np.split(chosen, np.cumsum([model[name].numel() for name in sorted(model)])[:-1])
    return {
        name: torch.from_numpy(part).reshape(model[name].shape)
        for name, part in zip(sorted(model), parts, strict=True)
    }


def assert_is_full_sort(mask: ParameterMask, model: Model, count: int) -> None:
    assert mask.count == count
    for name, expected in by_full_sort(model, count).items():
        assert torch.equal(mask[name], expected), name


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a model of billions meets them: many pieces, and a sample that is not the whole."""
    monkeypatch.setattr(weight_ops, "PIECE_ENTRIES", 64)
    monkeypatch.setattr(weight_ops, "SAMPLE_RUNS", 8)
    monkeypatch.setattr(weight_ops, "RUN_ENTRIES", 4)
    monkeypatch.setattr(weight_ops, "SMALL_MODEL_ENTRIES", 16)


VALUES: dict[str, Callable[[int], Tensor]] = {
    "normal": lambda seed: torch.randn(700, generator=torch.Generator().manual_seed(seed)).abs(),
    "few values": lambda seed: torch.randint(
        0, 4, (700,), generator=torch.Generator().manual_seed(seed)
    ).float(),
    "all equal": lambda seed: torch.ones(700),
    "all zero": lambda seed: torch.zeros(700),
    "rising": lambda seed: torch.arange(700.0),
    "falling": lambda seed: torch.arange(700.0).flip(0),
    "one large": lambda seed: torch.zeros(700).index_fill(0, torch.tensor([699 - seed]), 1e30),
    "tiny and infinite": lambda seed: torch.tensor([1e-45, 0, math.inf, 1e-38, 3e38] * 140),
}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("share", [0.002, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("seed", [0, 1])
def test_top_share_is_the_full_sort(values: str, share: float, seed: int) -> None:
    flat = VALUES[values](seed)
    model = {
        "b": flat[:300].reshape(20, 15),
        "a": flat[300:301].reshape(()),
        "c": flat[301:301].reshape(0, 2),
        "d": flat[301:],
    }
    mask = top_share(shapes_of(model), reader(model), share)
    assert_is_full_sort(mask, model, math.floor(share * 700))


@pytest.mark.usefixtures("small_pieces")
@given(data=st.data(), count=st.integers(1, 500), levels=st.integers(1, 50))
def test_a_wrong_estimate_costs_time_only(data: st.DataObject, count: int, levels: int) -> None:
    bracket = sorted(data.draw(st.tuples(*[st.floats(0, 60, width=32)] * 2)))
    seed = data.draw(st.integers(0, 99))
    values = torch.randint(0, levels, (500,), generator=torch.Generator().manual_seed(seed))
    model = {"a": values[:123].float(), "b": values[123:].float()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight_ops, "_estimated_bracket", lambda *_: bracket)
        mask = top_count(shapes_of(model), reader(model), count)
    assert_is_full_sort(mask, model, count)


@pytest.mark.parametrize("share", [0.01, 0.5])
@pytest.mark.parametrize("rounding", [torch.float32, torch.bfloat16])
def test_a_large_model_is_read_once(share: float, rounding: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    model = {
        "embedding": torch.randn(1_500_000, generator=random).abs()
        * (torch.rand(1_500, 1, generator=random) < 0.05).repeat(1, 1_000).reshape(-1),
        "layer": torch.randn(5_000, 1_000, generator=random).abs(),
    }
    model = {name: tensor.to(rounding).float() for name, tensor in model.items()}
    read = 0

    def counted(name: str, start: int, stop: int) -> Tensor:
        nonlocal read
        read += stop - start
        return reader(model)(name, start, stop)

    mask = top_share(shapes_of(model), counted, share)
    assert read <= 6_500_000 + weight_ops.SAMPLE_RUNS * weight_ops.RUN_ENTRIES
    assert_is_full_sort(mask, model, int(6_500_000 * share))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("place", [0, 350, 699])
def test_nan_names_its_tensor(place: int) -> None:
    flat = torch.rand(700).index_fill(0, torch.tensor([place]), math.nan)
    model = {"first": flat[:350], "second": flat[350:]}
    with pytest.raises(InputError, match="first" if place < 350 else "second"):
        top_share(shapes_of(model), reader(model), 0.1)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, math.nan])
def test_impossible_share(share: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        top_share({"a": (2,)}, noise(0), share)


@example(share=0.29, size=100)
@given(share=st.sampled_from([0.01, 0.07, 0.29, 0.57, 1e-5]), size=st.integers(0, 10**12))
def test_share_is_counted_as_written(share: float, size: int) -> None:
    percent_of_mille = round(share * 100_000)
    assert count_of_share(share, size) == percent_of_mille * size // 100_000


@pytest.mark.usefixtures("small_pieces")
def test_noise_depends_on_seed_name_and_index_alone() -> None:
    whole = noise(7)("a", 0, 5000)
    assert torch.equal(torch.cat([noise(7)("a", 0, 1234), noise(7)("a", 1234, 5000)]), whole)
    for other in (noise(8)("a", 0, 5000), noise(7)("b", 0, 5000), whole.roll(1)):
        assert abs(float(torch.corrcoef(torch.stack([whole, other]))[0, 1])) < 0.05
    assert 0 <= whole.min() < whole.max() < 1
    assert float(whole.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(whole.var()) == pytest.approx(1 / 12, abs=0.005)


@pytest.mark.usefixtures("small_pieces")
def test_a_smaller_draw_is_part_of_a_larger() -> None:
    shapes = {"a": (30, 10), "b": (400,)}
    small, large = random_entries(shapes, 50, 3), random_entries(shapes, 200, 3)
    assert (small.count, large.count) == (50, 200)
    assert (small & large) == small
    assert random_entries(shapes, 50, 4) != small
    assert random_entries(shapes, 0, 3).count == 0


def test_in_order_hands_on_results_errors_and_threads() -> None:
    threads = torch.get_num_threads()
    assert list(in_order(lambda a, b: a * b, ((n, 2) for n in range(100)))) == [
        2 * n for n in range(100)
    ]

    def fail(number: int) -> None:
        if number == 40:
            raise InputError("the fortieth")

    with pytest.raises(InputError, match="fortieth"):
        list(in_order(fail, ((n,) for n in range(100))))
    assert torch.get_num_threads() == threads
