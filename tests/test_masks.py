"""Masks, against plain Python sets."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from onsa.errors import InputError
from onsa.masks import ParameterMask, count_bits, indices, jaccard, pack, union

Entries = set[tuple[str, int]]


@st.composite
def tensors_twice(draw: st.DrawFn) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two masks' worth of bool tensors over the same shapes; some wholly in or out."""
    shapes = draw(
        st.dictionaries(
            st.text("ab.", min_size=1, max_size=3), st.lists(st.integers(0, 6), max_size=3)
        )
    )
    random = torch.Generator().manual_seed(draw(st.integers(0, 999)))

    def tensors() -> dict[str, Tensor]:
        share = st.sampled_from([0.0, 0.1, 0.5, 1.0])
        return {n: torch.rand(shape, generator=random) < draw(share) for n, shape in shapes.items()}

    return tensors(), tensors()


def as_set(tensors: dict[str, Tensor]) -> Entries:
    return {(n, i) for n, t in tensors.items() for i in t.reshape(-1).nonzero()[:, 0].tolist()}


def entries(mask: ParameterMask) -> Entries:
    for name, shape in mask.shapes.items():
        assert mask[name].dtype == torch.bool
        assert mask[name].shape == shape
    return as_set({name: mask[name] for name in mask.shapes})


@given(tensors_twice())
def test_algebra_is_that_of_sets(both: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    a, b = (ParameterMask.of(tensors) for tensors in both)
    a_set, b_set = map(as_set, both)
    all_entries = as_set({name: torch.ones_like(tensor) for name, tensor in both[0].items()})
    assert entries(a | b) == a_set | b_set
    assert entries(a & b) == a_set & b_set
    assert entries(~a) == all_entries - a_set
    assert entries(~(a | b)) == entries(~a & ~b)
    assert a.count == len(a_set)
    assert (~a).count == len(all_entries) - len(a_set)
    assert a.share == pytest.approx(len(a_set) / max(len(all_entries), 1))
    assert a.count_by_name() == {n: int(t.sum()) for n, t in both[0].items()}
    assert jaccard(a, b) == pytest.approx(len(a_set & b_set) / max(len(a_set | b_set), 1))
    assert (a == b) == (a_set == b_set)
    assert ParameterMask.nothing(a.shapes) == a & ~a
    assert ParameterMask.everything(a.shapes) == a | ~a
    assert union(a.shapes, [a, b]) == a | b


@given(tensors_twice())
def test_saved_is_loaded(both: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    mask, other = map(ParameterMask.of, both)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "core.mask"
        (mask | other).save(path)
        loaded = ParameterMask.load(path)
        assert loaded == mask | other
        assert loaded.digest == (mask | other).digest
        assert (loaded & other) == other


@given(st.lists(st.booleans(), max_size=200))
def test_packed_bits(flags: list[bool]) -> None:
    bits = pack(np.array(flags, dtype=bool))
    assert count_bits(bits) == sum(flags)
    assert indices(bits).tolist() == [place for place, flag in enumerate(flags) if flag]


def test_whole_tensors_take_no_space(tmp_path: Path) -> None:
    shapes = {"large": (1000, 1000), "small": (9,)}
    ParameterMask.matching(shapes, ["large"]).save(tmp_path / "whole")
    assert (tmp_path / "whole").stat().st_size < 1000
    small = ParameterMask.of(
        {"large": torch.zeros(1000, 1000).bool(), "small": torch.arange(9) > 4}
    )
    small.save(tmp_path / "small")
    assert (tmp_path / "small").stat().st_size < 1000
    assert ParameterMask.load(tmp_path / "small") == small


def test_only_the_tensor_asked_for_is_worked_out() -> None:
    asked: list[str] = []

    def read_bits(name: str) -> np.ndarray:
        asked.append(name)
        return pack(np.ones(3, dtype=bool))

    mask = ParameterMask({"a": (3,), "b": (3,)}, read_bits)
    either = mask | ~mask
    assert asked == []
    assert either["b"].all()
    assert set(asked) == {"b"}


SHAPES = {
    "model.embed_tokens.weight": (8, 4),
    "model.layers.0.mlp.up_proj.weight": (4, 4),
    "model.layers.1.mlp.up_proj.weight": (4, 4),
    "model.layers.1.self_attn.q_proj.weight": (4, 4),
}


@pytest.mark.parametrize(
    ("patterns", "layers"),
    [
        (["model.layers.*.mlp.*"], {1, 2}),
        (["*.1.*"], {2, 3}),
        (["re:.*layers\\.(0|1)\\.mlp.*", "*q_proj*"], {1, 2, 3}),
        (["*"], {0, 1, 2, 3}),
        ([], set()),
    ],
)
def test_patterns(patterns: list[str], layers: set[int]) -> None:
    counts = ParameterMask.matching(SHAPES, patterns).count_by_name()
    assert {place for place, name in enumerate(SHAPES) if counts[name]} == layers


def test_pain_P13_pattern_that_matches_nothing() -> None:
    """Red where a pattern may fit nothing."""
    with pytest.raises(
        InputError,
        match=r"'model.layer.*.mlp.up_proj.weight' fits no tensor.*"
        r"did you mean 'model.layers.\*.mlp.up_proj.weight'",
    ):
        ParameterMask.matching(SHAPES, ["*embed*", "model.layer.*.mlp.up_proj.weight"])
    with pytest.raises(InputError, match="no regular expression"):
        ParameterMask.matching(SHAPES, ["re:layers.(0"])


def test_masks_of_different_models() -> None:
    with pytest.raises(InputError, match="different models"):
        ParameterMask.nothing({"a": (2,)}) | ParameterMask.nothing({"a": (3,)})


def test_no_mask_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        ParameterMask.load(tmp_path / "missing")
    (tmp_path / "other").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(InputError, match="no saved mask"):
        ParameterMask.load(tmp_path / "other")
    ParameterMask.of({"a": torch.arange(99) > 50}).save(tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-3])
    with pytest.raises(InputError, match="broken"):
        ParameterMask.load(tmp_path / "cut")
