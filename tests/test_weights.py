"""Checkpoint folders, against the safetensors library and against what people break."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from onsa.errors import InputError
from onsa.weights import Weights, require_same_tensors, write_weights

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.bool]
TENSORS = {
    "b.weight": torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).bfloat16(),
    "a.weight": torch.randn(33, generator=torch.Generator().manual_seed(1)),
    "scale": torch.tensor(0.5, dtype=torch.float16),
    "empty": torch.zeros(0, 3),
    "position_ids": torch.arange(11),
    "flag": torch.tensor([True, False, True]),
}


def layout_of(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def write(folder: Path, tensors: dict[str, Tensor], max_shard_bytes: int = 10**9) -> Weights:
    return write_weights(
        folder, layout_of(tensors), tensors.__getitem__, max_shard_bytes=max_shard_bytes
    )


def assert_same(ours: dict[str, Tensor] | Weights, theirs: dict[str, Tensor]) -> None:
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert ours[name].shape == tensor.shape
        assert torch.equal(ours[name], tensor), name


@st.composite
def models(draw: st.DrawFn) -> dict[str, Tensor]:
    names = draw(st.lists(st.text("ab.αあ", min_size=1, max_size=4), max_size=6, unique=True))
    random = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    shapes = st.lists(st.integers(0, 5), max_size=3)
    return {
        name: torch.randint(0, 2, draw(shapes), generator=random).to(draw(st.sampled_from(DTYPES)))
        for name in names
    }


@given(tensors=models(), max_shard_bytes=st.sampled_from([1, 40, 10**9]))
def test_what_is_written_is_read_by_us_and_by_the_library(
    tensors: dict[str, Tensor], max_shard_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights = write(Path(folder), tensors, max_shard_bytes)
        assert weights.names == tuple(sorted(tensors))
        assert_same(weights, tensors)
        library: dict[str, Tensor] = {}
        for path in Path(folder).glob("*.safetensors"):
            library |= load_file(path)
        assert set(library) == set(tensors)
        assert_same(library, tensors)


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_same(Weights(tmp_path), TENSORS)


def test_shards_are_the_single_file_cut(tmp_path: Path) -> None:
    single, sharded = write(tmp_path / "1", TENSORS), write(tmp_path / "2", TENSORS, 80)
    assert len(list((tmp_path / "2").glob("model-0000?-of-0000?.safetensors"))) > 1
    assert single.digest == sharded.digest
    assert single.shapes == sharded.shapes
    index = json.loads((tmp_path / "2" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(
        tensor.numel() * tensor.element_size() for tensor in TENSORS.values()
    )


def test_digest_tells_values_names_and_dtypes_apart(tmp_path: Path) -> None:
    first = {"a": torch.zeros(4), "b": torch.zeros(4)}
    variants = [
        first,
        first | {"b": torch.tensor([0.0, 0, 0, 1e-30])},
        {"a": first["a"], "c": first["b"]},
        first | {"b": torch.zeros(4, dtype=torch.int32)},
        first | {"b": torch.zeros(2, 2)},
    ]
    digests = {write(tmp_path / str(n), tensors).digest for n, tensors in enumerate(variants)}
    assert len(digests) == len(variants)


def test_pieces_and_parts(tmp_path: Path) -> None:
    tensor = torch.randn(10, 3).bfloat16()
    weights = write_weights(
        tmp_path, layout_of({"a": tensor}), lambda _: iter(tensor.reshape(-1).split(7))
    )
    assert torch.equal(weights["a"], tensor)
    assert torch.equal(weights.read("a", 5, 22), tensor.reshape(-1)[5:22])
    out = torch.empty(17)
    assert torch.equal(weights.read("a", 5, 22, out=out), tensor.reshape(-1)[5:22].float())
    assert torch.equal(out, tensor.reshape(-1)[5:22].float())


def test_buffers_are_no_entries(tmp_path: Path) -> None:
    weights = write(tmp_path, TENSORS)
    assert weights.entry_count == 35 + 33 + 1
    assert set(weights.float_shapes) == {"a.weight", "b.weight", "scale", "empty"}
    assert set(weights.shapes) == set(TENSORS)


def test_a_shorter_checkpoint_leaves_no_older_shard_behind(tmp_path: Path) -> None:
    write(tmp_path, TENSORS, 80)
    (tmp_path / "config.json").write_text("{}")
    write(tmp_path, {"a": torch.ones(2)})
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    write(tmp_path, TENSORS, 80)
    assert_same(Weights(tmp_path), TENSORS)


def test_wrong_source_is_our_own_fault(tmp_path: Path) -> None:
    layout = {"a": (torch.float32, (4,))}
    with pytest.raises(AssertionError):
        write_weights(tmp_path, layout, lambda _: torch.zeros(3))
    with pytest.raises(AssertionError):
        write_weights(tmp_path, layout, lambda _: torch.zeros(4).bfloat16())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept_bytes", [0, 5, 100, -1])
def test_truncated_file(tmp_path: Path, kept_bytes: int) -> None:
    write(tmp_path, TENSORS)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(InputError, match=r"broken safetensors file.*download it again"):
        Weights(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"no json",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}',
        b'{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}',
    ],
)
def test_broken_header(tmp_path: Path, header: bytes) -> None:
    data = len(header).to_bytes(8, "little") + header + bytes(8)
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="broken safetensors file"):
        Weights(tmp_path)


def test_quantised_dtype_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(3).to(torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"'w' has the dtype F8_E4M3.*bfloat16"):
        Weights(tmp_path)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Weights(tmp_path / "missing")
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match=r"neither model\.safetensors nor"):
        Weights(tmp_path)


def test_broken_index(tmp_path: Path) -> None:
    write(tmp_path, TENSORS, 80)
    index_path = tmp_path / "model.safetensors.index.json"
    index = json.loads(index_path.read_text())
    shard = index["weight_map"]["a.weight"]
    for changed, message in [
        ({"weight_map": {}}, "no weight_map"),
        ({"weight_map": {"a.weight": "../elsewhere.safetensors"}}, "is missing"),
        ({"weight_map": {"other.weight": shard}}, "'other.weight' is not in"),
    ]:
        index_path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            Weights(tmp_path)
    index_path.write_text(json.dumps(index))
    (tmp_path / shard).unlink()
    with pytest.raises(InputError, match=f"'{shard}' is missing"):
        Weights(tmp_path)


def test_models_that_do_not_belong_together(tmp_path: Path) -> None:
    base = write(tmp_path / "base", {"a": torch.zeros(2), "b": torch.zeros(3)})
    for number, (tensors, message) in enumerate(
        [
            ({"a": torch.zeros(2)}, "tensor 'b' is missing"),
            ({n: torch.zeros(s) for n, s in (("a", 2), ("b", 3), ("c", 1))}, "'c' is missing"),
            ({"a": torch.zeros(2), "b": torch.zeros(4)}, r"'b' has the shape \(4,\), not \(3,\)"),
            ({"a": torch.zeros(2).int(), "b": torch.zeros(3)}, "'a' is torch.int32"),
        ]
    ):
        other = write(tmp_path / str(number), tensors)
        with pytest.raises(InputError, match=message):
            require_same_tensors(base, other)
    require_same_tensors(base, write(tmp_path / "same", {n: base[n].half() for n in base.names}))
