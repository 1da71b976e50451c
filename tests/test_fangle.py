"""Angles as by hand in high precision, and the layers that they choose."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import onsa
from onsa.choosing.angles import angle_sums, gather
from onsa.errors import InputError
from onsa.files import read_json
from onsa.methods.fangle import Fangle, choose_layers
from onsa.settings import validated
from onsa.weights import Weights

ANGLES = {
    ("0", "attention"): 0.3, ("1", "attention"): 0.1, ("2", "attention"): 0.2,
    ("0", "mlp"): 0.6, ("1", "mlp"): 0.5, ("2", "mlp"): 0.4,
}  # fmt: skip


def saved(folder: Path, tensors: dict[str, torch.Tensor]) -> Weights:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    return Weights(folder)


@pytest.mark.parametrize("turn", [3.0, 1.0, 1e-2, 1e-4, 1e-6])
def test_a_known_turn_is_found(tmp_path: Path, turn: float) -> None:
    """u turned by a known angle and lengthened by 1 %, kept in float64; longer than one piece."""
    draw = torch.Generator().manual_seed(0)
    u, w = torch.randn(2, 300_000, generator=draw, dtype=torch.float64)
    w -= u * (u @ w) / (u @ u)
    v = 1.01 * (math.cos(turn) * u + math.sin(turn) * w * u.norm() / w.norm())
    sums = angle_sums(saved(tmp_path / "u", {"a": u}), saved(tmp_path / "v", {"a": v}))
    assert sums["a"].angle == pytest.approx(turn, rel=1e-6)


def test_small_angles_of_float32_weights_are_those_of_float64(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(1)
    before = {name: torch.randn(64, 50, generator=draw) for name in "ab"}
    after = {n: t + 1e-4 * torch.randn(64, 50, generator=draw) for n, t in before.items()}
    sums = angle_sums(saved(tmp_path / "u", before), saved(tmp_path / "v", after))
    for name, key in [("a", lambda n: n), ("both", lambda n: "both")]:
        parts = "ab" if name == "both" else name
        u, v = (torch.cat([t[n].double().flatten() for n in parts]) for t in (before, after))
        chord = (u / u.norm() - v / v.norm()).norm()
        expected = 2 * math.asin(float(chord) / 2)
        assert gather(sums, key)[name] == pytest.approx(expected, rel=1e-9)
        assert 5e-5 < expected < 2e-4


def test_what_has_not_moved_or_is_zero_has_no_angle(tmp_path: Path) -> None:
    still = saved(tmp_path / "u", {"a": torch.ones(5), "z": torch.zeros(3)})
    assert {name: part.angle for name, part in angle_sums(still, still).items()} == {
        "a": 0.0,
        "z": 0.0,
    }


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"share": 0.4}, [("0", "attention"), ("0", "mlp")]),
        ({"share": 0.4, "direction": "smallest"}, [("1", "attention"), ("2", "mlp")]),
        ({"per_role": False}, [("0", "mlp"), ("1", "mlp"), ("2", "mlp")]),
        (
            {"per_role": False, "direction": "smallest"},
            [("0", "attention"), ("1", "attention"), ("2", "attention")],
        ),
        ({"share": 0.01}, [("0", "attention"), ("0", "mlp")]),
    ],
)
def test_layers_are_chosen(settings: dict[str, Any], chosen: list[tuple[str, str]]) -> None:
    assert choose_layers(ANGLES, Fangle(**settings)) == chosen


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
def test_only_the_chosen_layers_move_from_the_base(
    recipe: Callable[..., dict[str, Any]], architecture: str
) -> None:
    keys = {"roles": ["mlp"], "num_train_epochs": 0.3}
    run = onsa.tune(**recipe(architecture, method="fangle", **keys))
    found = read_json(run / "report.json")["angles"]["fangle"]
    [(block, role)] = found["chosen"]
    layers = {entry["block"]: entry["angle"] for entry in found["layers"] if entry["role"] == "mlp"}
    assert role == "mlp"
    assert layers[block] == max(layers["0"], layers["1"]) > 0
    after = run.stages[-1].weights
    moved = {name for name in run.base.names if not torch.equal(run.base[name], after[name])}
    assert moved == {n for n in run.base.names if f".{block}.mlp." in n}


def test_the_probe_is_the_full_fine_tune_of_the_same_run(
    recipe: Callable[..., dict[str, Any]],
) -> None:
    onsa.tune(**recipe(method="full", num_train_epochs=0.3))
    run = onsa.tune(**recipe(method="fangle", num_train_epochs=0.3))
    assert [r.reused for r in run.history if r.name == "full"] == [True]
    assert [r.reused for r in run.history if r.name == "fangle"] == [False]


def test_a_key_without_effect_is_refused() -> None:
    with pytest.raises(InputError, match="per_role has no effect"):
        validated(Fangle, {"roles": ["mlp"], "per_role": False}, "recipe")
