"""Cores, groups, orders, holds and fusion, against sets, hand-worked numbers and brute force."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from onsa import weight_ops
from onsa.cores import grouping, hold, order
from onsa.cores.blends import blends, fold
from onsa.cores.fusion import Fusion, conflicts, fuse
from onsa.cores.saliency import core_region, saliency
from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.weights import Weights, write_weights

Model = dict[str, Tensor]
TASKS = ("family", "sums", "calendar")


def save(folder: Path, model: Model, max_shard_bytes: int = 10**9) -> Weights:
    layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in model.items()}
    return write_weights(folder, layout, model.__getitem__, max_shard_bytes=max_shard_bytes)


def random_model(seed: int, dtype: torch.dtype = torch.float32) -> Model:
    random = torch.Generator().manual_seed(seed)
    return {
        "model.embed_tokens.weight": torch.randn(12, 8, generator=random).to(dtype),
        "model.layers.0.mlp.weight": torch.randn(24, 8, generator=random).to(dtype),
        "model.norm.weight": torch.randn(8, generator=random).to(dtype),
        "model.scale": torch.randn((), generator=random).to(dtype),
        "model.empty": torch.zeros(0, 4, dtype=dtype),
        "position_ids": torch.arange(5),
    }


def moved(model: Model, seed: int, size: float = 0.1) -> Model:
    random = torch.Generator().manual_seed(1000 + seed)
    return {
        name: tensor + (size * torch.randn(tensor.shape, generator=random)).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in model.items()
    }


@pytest.fixture
def models(tmp_path: Path) -> tuple[Weights, dict[str, Weights]]:
    base = random_model(0)
    tuned = {task: save(tmp_path / task, moved(base, seed)) for seed, task in enumerate(TASKS)}
    return save(tmp_path / "base", base), tuned


@pytest.fixture(params=[16, 1 << 18])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_ops, "PIECE_ENTRIES", request.param)


def flat(model: Weights | Model, names: Mapping[str, object]) -> Tensor:
    return torch.cat([model[name].reshape(-1).float() for name in sorted(names)])


# Saliency


def chosen_by(scores: Tensor, share: float) -> set[int]:
    return set((-scores).argsort(stable=True)[: int(share * len(scores))].tolist())


def entries(mask: ParameterMask) -> set[int]:
    return set(flat({n: mask[n] for n in mask.shapes}, mask.shapes).nonzero()[:, 0].tolist())


@pytest.mark.usefixtures("pieces")
def test_saliency_rules_against_brute_force(
    models: tuple[Weights, dict[str, Weights]], tmp_path: Path
) -> None:
    base, tuned = models[0], models[1]["sums"]
    names = base.float_shapes
    update = (flat(tuned, names) - flat(base, names)).abs()
    moments = {
        name: torch.rand(base.shapes[name], generator=torch.Generator().manual_seed(5)) * 1e-19
        if name in names
        else base[name]
        for name in base.names
    }
    size = torch.cat(
        [
            torch.full((base[n].numel(),), float(base[n].square().mean().sqrt()))
            for n in sorted(names)
        ]
    )
    scores = {
        "update": update,
        "adam": update.double().square() * flat(moments, names).double(),
        "relative": update / size,
    }
    for rule, score in scores.items():
        second_moment = save(tmp_path / "moments", moments) if rule == "adam" else None
        core = core_region(base, tuned, 0.1, rule, second_moment=second_moment)
        assert entries(core) == chosen_by(score, 0.1), rule


def test_within_tensor_takes_the_same_share_of_each(
    models: tuple[Weights, dict[str, Weights]],
) -> None:
    base, tuned = models[0], models[1]["sums"]
    core = core_region(base, tuned, 0.25, "within_tensor")
    for name in base.float_shapes:
        update = (tuned[name] - base[name]).abs().reshape(-1)
        assert set(core[name].reshape(-1).nonzero()[:, 0].tolist()) == chosen_by(update, 0.25)


def test_without_embeddings(models: tuple[Weights, dict[str, Weights]], tmp_path: Path) -> None:
    base, tuned = models[0], models[1]["sums"]
    core = core_region(base, tuned, 0.1, "without_embeddings")
    rest = {n: s for n, s in base.float_shapes.items() if "embed" not in n}
    update = (flat(tuned, rest) - flat(base, rest)).abs()
    assert core.count_by_name()["model.embed_tokens.weight"] == 0
    assert core.shapes == base.float_shapes
    only_rest = ParameterMask.of({name: core[name] for name in rest})
    assert entries(only_rest) == chosen_by(update, 0.1)
    plain = save(tmp_path / "plain", {"layer.weight": torch.ones(3, 3)})
    with pytest.raises(InputError, match="no tensor has the name of an embedding"):
        core_region(plain, plain, 0.1, "without_embeddings")


@pytest.mark.parametrize(
    ("name", "shape", "is_embedding"),
    [
        ("model.embed_tokens.weight", (9, 3), True),
        ("transformer.wte.weight", (9, 3), True),
        ("gpt_neox.embed_out.weight", (9, 3), True),
        ("bert.embeddings.position_embeddings.weight", (9, 3), True),
        ("lm_head.weight", (9, 3), True),
        ("lm_head.dense.weight", (9, 3), False),  # RoBERTa's
        ("bert.embeddings.LayerNorm.weight", (9,), False),
        ("vit.embeddings.patch_embeddings.projection.weight", (9, 3, 2, 2), False),
        ("model.layers.0.mlp.up_proj.weight", (9, 3), False),
    ],
)
def test_embeddings_are_known_by_name(
    tmp_path: Path, name: str, shape: tuple[int, ...], is_embedding: bool
) -> None:
    model = {"lm_head.weight": torch.zeros(2, 2), "z.wte.weight": torch.zeros(2, 2)}
    base = save(tmp_path / "base", model | {name: torch.zeros(shape)})
    tuned = save(tmp_path / "tuned", model | {name: torch.ones(shape)})
    core = core_region(base, tuned, 0.5, "without_embeddings")
    assert (core.count_by_name()[name] == 0) == is_embedding


def test_random_core_is_a_seeded_control(models: tuple[Weights, dict[str, Weights]]) -> None:
    base, tuned = models[0], models[1]["sums"]
    first, again, other = (core_region(base, tuned, 0.1, "random", seed=s) for s in (1, 1, 2))
    assert first == again != other
    assert first.count == int(0.1 * base.entry_count)


def test_core_of_shards_is_that_of_a_single_file(
    models: tuple[Weights, dict[str, Weights]], tmp_path: Path
) -> None:
    base, tuned = models[0], models[1]["sums"]
    cut = save(tmp_path / "cut", {name: tuned[name] for name in tuned.names}, 200)
    assert core_region(base, cut, 0.1) == core_region(base, tuned, 0.1)


def test_cores_that_cannot_be_found(
    models: tuple[Weights, dict[str, Weights]], tmp_path: Path
) -> None:
    base, tuned = models[0], models[1]["sums"]
    with pytest.raises(InputError, match="did you mean 'update'"):
        core_region(base, tuned, 0.1, "updte")
    with pytest.raises(InputError, match="the core's share is 1"):
        core_region(base, tuned, 1)
    with pytest.raises(InputError, match="needs the second moment"):
        core_region(base, tuned, 0.1, "adam")
    model = {name: tuned[name] for name in tuned.names}
    model["model.norm.weight"][3] = math.nan
    with pytest.raises(InputError, match=r"'model\.norm\.weight' has NaN"):
        core_region(base, save(tmp_path / "nan", model), 0.1)


# Groups, orders, holds


def core_of(*places: int) -> ParameterMask:
    mask = torch.zeros(20, dtype=torch.bool)
    mask[list(places)] = True
    return ParameterMask.of({"a": mask[:9], "b": mask[9:]})


@given(st.lists(st.sets(st.integers(0, 19)), min_size=1, max_size=4))
def test_overlap_is_jaccard_of_sets(places: list[set[int]]) -> None:
    cores = {str(number): core_of(*chosen) for number, chosen in enumerate(places)}
    expected = [[len(a & b) / max(len(a | b), 1) for b in places] for a in places]
    assert np.allclose(grouping.overlap_matrix(cores), expected, atol=0)


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
        )
    )
)
def test_groups_are_the_connected_components(graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, edges = graph
    overlap = np.eye(count)
    for i, j in edges:
        overlap[i, j] = overlap[j, i] = 0.5
    reached = np.linalg.matrix_power((overlap > 0).astype(np.int64), count) > 0
    expected = {tuple(np.flatnonzero(row)) for row in reached}
    tasks = [str(number) for number in range(count)]
    groups = grouping.group_tasks(grouping.Evidence(tasks, 0.5, overlap.tolist()))
    assert [tuple(map(int, group)) for group in groups] == sorted(expected)
    assert grouping.group_tasks(grouping.Evidence(tasks, 0.51, overlap.tolist())) == [
        [task] for task in tasks
    ]


def test_threshold_against_chance() -> None:
    assert grouping.chance_level(0.01) == pytest.approx(1 / 199)
    assert grouping.threshold_value("3x chance", 0.01) == pytest.approx(3 / 199)
    assert grouping.threshold_value(0.1, 0.01) == 0.1
    for wrong in ("3 chance", "chance", "300x chance", 1.1, -0.1, math.nan):
        with pytest.raises(InputError, match="'3x chance'"):
            grouping.threshold_value(wrong, 0.01)


def test_chance_level_is_what_random_cores_reach() -> None:
    shapes = {"a": (200_000,)}
    cores = {str(s): weight_ops.random_entries(shapes, 20_000, s) for s in range(2)}
    overlap = grouping.overlap_matrix(cores)[0][1]
    assert overlap == pytest.approx(grouping.chance_level(0.1), rel=0.05)


# Losses before any probe, and of every task after the probe of each (rows).
TRANSFER = grouping.transfer_matrix(
    [4.0, 3.0, 2.0], [[1.0, 2.0, 2.0], [1.0, 1.0, 3.0], [4.0, 3.0, 2.0]]
)


def test_loss_transfer() -> None:
    # By hand: gains [[3, 1, 0], [3, 2, -1], [0, 0, 0]] over each task's own gain 3, 2, 0.
    assert TRANSFER == [[1.0, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    for threshold, expected in [
        (0.5, [["family", "sums"], ["calendar"]]),
        (0.6, [["family"], ["sums"], ["calendar"]]),
    ]:
        evidence = grouping.Evidence(TASKS, threshold, transfer=TRANSFER)
        assert grouping.group_tasks(evidence, "loss_transfer") == expected


def test_given_groups() -> None:
    evidence = grouping.Evidence(TASKS, given=[["sums"], ["calendar", "family"]])
    assert grouping.group_tasks(evidence, "given") == [["sums"], ["calendar", "family"]]
    for wrong in ([["sums"]], [list(TASKS), ["sums"]], [["sums", "family", "poems"]], None):
        with pytest.raises(InputError, match="exactly once"):
            grouping.group_tasks(grouping.Evidence(TASKS, given=wrong), "given")


def test_orders() -> None:
    groups = [[task] for task in TASKS]
    overlap = [[1.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 1.0]]
    evidence = order.Evidence(
        TASKS,
        seed=3,
        losses={"family": 0.9, "sums": 0.1, "calendar": 0.5},
        overlap=overlap,
        transfer=TRANSFER,
        given=("calendar", "family", "sums"),
    )
    for rule, expected in {
        "difficulty": ["sums", "calendar", "family"],
        "overlap": ["calendar", "family", "sums"],
        "dependency": ["sums", "calendar", "family"],  # sums helps family more than it is helped
        "given": ["calendar", "family", "sums"],
    }.items():
        assert order.order_groups(groups, evidence, rule) == [[task] for task in expected], rule
    drawn = [order.order_groups(groups, order.Evidence(TASKS, seed)) for seed in range(50)]
    assert drawn == [order.order_groups(groups, order.Evidence(TASKS, seed)) for seed in range(50)]
    assert len(set(map(str, drawn))) == 6  # all of them
    with pytest.raises(InputError, match="exactly once"):
        order.order_groups(groups, order.Evidence(TASKS, given=["sums"]), "given")


def test_holds() -> None:
    cores = {"family": core_of(0, 1, 2), "sums": core_of(2, 3), "calendar": core_of(10, 11)}
    stages = [hold.Stage(n, [["sums"], ["family", "calendar"]], cores) for n in range(3)]
    assert hold.held_entries(stages[0]).count == 0
    assert hold.held_entries(stages[1]) == cores["sums"]
    everything = cores["family"] | cores["sums"] | cores["calendar"]
    assert hold.held_entries(stages[2]) == everything
    assert hold.held_entries(stages[0], "all") == everything
    assert hold.held_entries(stages[2], "none").count == 0
    random = [hold.held_entries(stage, "random") for stage in stages]
    assert [mask.count for mask in random] == [0, 2, 6]
    assert random[1] & random[2] == random[1]


@pytest.mark.parametrize(
    "table",
    [saliency, grouping.grouping, order.order, hold.hold, blends, conflicts],
    ids=lambda table: table.kind,
)
def test_every_rule_says_what_it_is_and_unknown_ones_are_refused(table: object) -> None:
    for description in table.descriptions().values():
        assert 5 < len(description) <= 100
        assert description.endswith(".")
    with pytest.raises(InputError, match=f"no {table.kind} 'nothing like it'"):
        table["nothing like it"]


# Fusion


def slerp_by_definition(a: Tensor, b: Tensor, weight: float) -> Tensor:
    a, b = a.double(), b.double()
    angle = torch.arccos((a * b).sum() / (a.norm() * b.norm()))
    return ((1 - weight) * angle).sin() / angle.sin() * a + (weight * angle).sin() / angle.sin() * b


def fuse_plain(tmp_path: Path, base: Model, tuned: list[Model], **settings: object) -> Fusion:
    """Fused without cores."""
    weights = {str(n): save(tmp_path / f"tuned{n}", model) for n, model in enumerate(tuned)}
    return fuse(tmp_path / "fused", save(tmp_path / "base", base), weights, {}, **settings)


def test_slerp_by_hand(tmp_path: Path) -> None:
    # A right angle: half-way lies at 45 degrees, and a third on at 30 from the one before.
    tuned = [{"a": torch.tensor(value)} for value in ([2.0, 0.0], [0.0, 2.0])]
    fusion = fuse_plain(tmp_path, {"a": torch.tensor([0.5, 0.25])}, tuned)
    assert fusion.weights["a"].tolist() == pytest.approx([math.sqrt(2), math.sqrt(2)])
    record = fusion.record["tensors"]["a"]
    assert record["branch"] == "slerp"
    assert record["angles_rad"] == pytest.approx([math.pi / 2])
    assert record["order_effect"] == pytest.approx(0, abs=1e-7)
    # sin(60°)/sin(90°)·a + sin(30°)/sin(90°)·b, of different lengths: values are not normalised.
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0])
    assert slerp_by_definition(a, b, 1 / 3).tolist() == pytest.approx([3 * math.sqrt(0.75), 0.5])


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("size", [1.0, 0.1, 1e-3])
@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_slerp_fold_against_its_definition(tmp_path: Path, size: float, tasks: int) -> None:
    base = random_model(0)
    tuned = [moved(base, seed, size) for seed in range(tasks)]
    fusion = fuse_plain(tmp_path, base, tuned)
    for name in ("model.embed_tokens.weight", "model.norm.weight"):
        expected = tuned[0][name]
        for number, other in enumerate(tuned[1:], 2):
            expected = slerp_by_definition(expected, other[name], 1 / number)
        assert fusion.record["tensors"][name]["branch"] == "slerp"
        assert torch.allclose(
            fusion.weights[name].double(), expected.double(), rtol=1e-6, atol=1e-7
        )
    assert fusion.record["tensors"]["position_ids"] == {"branch": "copied"}
    assert torch.equal(fusion.weights["position_ids"], base["position_ids"])
    assert fusion.weights["model.empty"].shape == (0, 4)


@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-5])
def test_small_angles_are_exact(tmp_path: Path, size: float) -> None:
    base = {"a": torch.randn(300_000, generator=torch.Generator().manual_seed(0))}
    tuned = [moved(base, seed, size) for seed in range(2)]
    first, second = (model["a"].double() / model["a"].double().norm() for model in tuned)
    angle = 2 * math.asin(float((first - second).norm()) / 2)
    fusion = fuse_plain(tmp_path, base, tuned, epsilon=1e-9)
    assert fusion.record["tensors"]["a"]["angles_rad"] == pytest.approx([angle], rel=1e-5)


def test_straight_line_below_epsilon_and_where_there_is_no_angle(tmp_path: Path) -> None:
    base = {name: torch.tensor([1.0, 0.0]) for name in ("near", "zero", "opposite", "still")}
    base["scalar"] = torch.tensor(3.0)
    first = base | {"zero": torch.zeros(2), "scalar": torch.tensor(1.0)}
    second = base | {
        "near": torch.tensor([1.0, 1e-3]),
        "zero": torch.tensor([0.0, 4.0]),
        "opposite": torch.tensor([-3.0, 0.0]),
        "scalar": torch.tensor(-2.0),
    }
    fusion = fuse_plain(tmp_path, base, [first, second], epsilon=1e-2)
    assert fusion.record["branches"] == {"linear": 5}
    for name in base:
        mean = (first[name] + second[name]) / 2
        assert torch.allclose(fusion.weights[name], mean)
    assert torch.equal(fusion.weights["still"], base["still"])


def test_order_effect_is_the_difference_of_the_two_orders(tmp_path: Path) -> None:
    base = random_model(0)
    tuned = [moved(base, seed, 1.0) for seed in range(4)]
    forward = fuse_plain(tmp_path / "forward", base, tuned)
    backward = fuse_plain(tmp_path / "backward", base, tuned[::-1])
    name = "model.layers.0.mlp.weight"
    one, other = forward.weights[name].double(), backward.weights[name].double()
    effect = float((one - other).norm() / one.norm())
    assert effect > 1e-3
    assert forward.record["tensors"][name]["order_effect"] == pytest.approx(effect, rel=1e-4)


def test_fold_of_equals_is_theirs() -> None:
    gram = np.diag([1.0, 0.0, 0.0, 0.0])
    assert fold(gram, 1e-4).weights.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("blend", ["slerp", "linear"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_one_task_alone_is_that_model_to_the_bit(
    tmp_path: Path, blend: str, dtype: torch.dtype
) -> None:
    base = random_model(0, dtype)
    tuned = moved(base, 1)
    fusion = fuse_plain(tmp_path, base, [tuned], blend=blend)
    assert fusion.weights.digest == Weights(tmp_path / "tuned0").digest


def by_hand(tmp_path: Path, blend: str, **settings: float) -> list[float]:
    base = {"a": torch.tensor([1.0, 1.0, 1.0, 1.0])}
    updates = [[4.0, -1.0, 0.5, 0.0], [-1.0, -3.0, 0.25, 2.0], [2.0, 0.5, 0.125, -8.0]]
    tuned = [{"a": base["a"] + torch.tensor(update)} for update in updates]
    return (fuse_plain(tmp_path, base, tuned, blend=blend, **settings).weights["a"] - 1).tolist()


def test_other_blends_by_hand(tmp_path: Path) -> None:
    assert by_hand(tmp_path, "linear") == pytest.approx([5 / 3, -3.5 / 3, 0.875 / 3, -2])
    assert by_hand(tmp_path, "update_sum", scale=0.5) == pytest.approx([2.5, -1.75, 0.4375, -3])
    # TIES, half kept: (4, -1, ., .), (., -3, ., 2), (2, ., ., -8); signs +, -, none, -; means.
    assert by_hand(tmp_path, "ties", density=0.5) == pytest.approx([3, -2, 0, -8])
    assert by_hand(tmp_path, "ties", density=0.5, scale=0.5) == pytest.approx([1.5, -1, 0, -4])
    # Sums (5, -3.5, 0.875, -6). |own| >= 1 * |sum of the others|:
    # 4 >= 1, 1 < 6, 2 < 3; 1 < 2.5, 3 >= .5, .5 < 4; .5 >= .375, .25 < .625, .125 < .75;
    # 0 < 6, 2 < 8, 8 >= 2: only one task needs each, so nothing is left.
    assert by_hand(tmp_path, "consensus", agreement=1.0) == [0, 0, 0, 0]
    # At 0.4: 4 and 2 of (1, 6, 3); 1 and 3 of (2.5, .5, 4); .5 and .25 of (.375, .625, .75);
    # 8 of (6, 8, 2) only.
    expected = [2.5, -1.75, 0.4375, 0]
    assert by_hand(tmp_path, "consensus", agreement=0.4, scale=0.5) == pytest.approx(expected)


def test_dare_drops_its_share_and_scales_up_the_rest(tmp_path: Path) -> None:
    base = {"a": torch.zeros(40_000)}
    tuned = [{"a": torch.full((40_000,), value)} for value in (1.0, -10.0)]
    settings_ = {"drop": 0.75, "scale": 0.5}
    found = fuse_plain(tmp_path, base, tuned, blend="dare", **settings_).weights["a"]
    # Kept entries grow by 1 / 0.25 and count half: 2 of the first, -20 of the second, or both.
    kinds, counts = found.unique(return_counts=True)
    assert kinds.tolist() == [-20.0, -18.0, 0.0, 2.0]
    shares = (counts / found.numel()).tolist()
    assert shares == pytest.approx([0.1875, 0.0625, 0.5625, 0.1875], abs=0.01)
    again = fuse_plain(tmp_path / "again", base, tuned, blend="dare", **settings_)
    other = fuse_plain(tmp_path / "other", base, tuned, blend="dare", seed=1, **settings_)
    assert torch.equal(again.weights["a"], found)
    assert not torch.equal(other.weights["a"], found)


def test_blend_settings_that_make_no_sense(tmp_path: Path) -> None:
    for blend, settings_, message in [
        ("slerp", {"scale": 1.0}, "'slerp' has no setting 'scale'"),
        ("linear", {"epsilon": 1.0}, "'linear' has no setting 'epsilon'"),
        ("update_sum", {"scal": 1.0}, "did you mean 'scale'"),
        ("update_sum", {"scale": 0.0}, "scale is 0"),
        ("ties", {"density": 1.0}, "density is 1"),
        ("consensus", {"agreement": math.inf}, "agreement is inf"),
        ("dare", {"drop": 1.0}, "drop is 1"),
        ("slerp", {"epsilon": 0.0}, "epsilon is 0"),
        ("slurp", {}, "did you mean 'slerp'"),
    ]:
        with pytest.raises(InputError, match=message):
            by_hand(tmp_path, blend, **settings_)


def cores_of(base: Weights, tuned: Mapping[str, Weights], share: float) -> dict[str, ParameterMask]:
    return {task: core_region(base, weights, share) for task, weights in tuned.items()}


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("conflict", ["larger_update", "mean", "last"])
@pytest.mark.parametrize("blend", ["slerp", "linear", "ties"])
def test_cores_are_transplanted(
    models: tuple[Weights, dict[str, Weights]], tmp_path: Path, blend: str, conflict: str
) -> None:
    base, tuned = models
    cores = cores_of(base, tuned, 0.3)
    fusion = fuse(tmp_path / "fused", base, tuned, cores, blend=blend, conflict=conflict)
    plain = fuse(tmp_path / "plain", base, tuned, {}, blend=blend)
    transplanted = in_several = 0
    for name in base.float_shapes:
        values = torch.stack([weights[name].reshape(-1) for weights in tuned.values()])
        members = torch.stack([core[name].reshape(-1) for core in cores.values()])
        updates = (values - base[name].reshape(-1)).abs()
        expected = plain.weights[name].reshape(-1).clone()
        for entry in range(expected.numel()):
            mine = [task for task in range(len(TASKS)) if members[task, entry]]
            if not mine:
                continue
            expected[entry] = {
                "larger_update": values[max(mine, key=lambda t: float(updates[t, entry])), entry],
                "mean": values[mine, entry].double().mean(),
                "last": values[mine[-1], entry],
            }[conflict]
            transplanted += 1
            in_several += len(mine) > 1
        assert torch.equal(fusion.weights[name].reshape(-1), expected), name
    assert (fusion.record["transplanted"], fusion.record["conflicts"]) == (transplanted, in_several)
    assert in_several > 0
    assert json.loads(json.dumps(fusion.record)) == fusion.record


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_cores_keep_their_bits(tmp_path: Path, dtype: torch.dtype) -> None:
    base = save(tmp_path / "base", random_model(0, dtype))
    tuned = {
        task: save(tmp_path / task, moved(random_model(0, dtype), seed))
        for seed, task in enumerate(TASKS)
    }
    cores = cores_of(base, tuned, 0.2)
    fused = fuse(tmp_path / "fused", base, tuned, cores, conflict="last").weights
    assert fused.dtypes == base.dtypes
    for name in base.float_shapes:
        core = cores["calendar"][name]
        assert torch.equal(fused[name][core], tuned["calendar"][name][core])


def test_nothing_learned_is_rounded_away(tmp_path: Path) -> None:
    base = save(tmp_path / "base", {"a": torch.ones(3).bfloat16()})
    tuned = {"one": save(tmp_path / "one", {"a": torch.tensor([1.0, 1.0001, 2.0])})}
    fused = fuse(tmp_path / "fused", base, tuned, {}).weights
    assert torch.equal(fused["a"], tuned["one"]["a"])


def test_sharded_fusion_is_the_single_file_cut(
    models: tuple[Weights, dict[str, Weights]], tmp_path: Path
) -> None:
    base, tuned = models
    cores = cores_of(base, tuned, 0.1)
    cut = {
        task: save(tmp_path / f"cut-{task}", {n: weights[n] for n in weights.names}, 200)
        for task, weights in tuned.items()
    }
    for task, core in cores.items():
        core.save(tmp_path / f"{task}.mask")
    saved = {task: ParameterMask.load(tmp_path / f"{task}.mask") for task in tuned}
    single = fuse(tmp_path / "single", base, tuned, cores)
    sharded = fuse(tmp_path / "sharded", base, cut, saved, max_shard_bytes=500)
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    assert single.weights.digest == sharded.weights.digest
    assert single.record == sharded.record


def test_what_cannot_be_fused(models: tuple[Weights, dict[str, Weights]], tmp_path: Path) -> None:
    base, tuned = models
    with pytest.raises(InputError, match="overwritten while it is read"):
        fuse(tmp_path / "sums", base, tuned, {})
    with pytest.raises(InputError, match="of task 'family' is of another model"):
        fuse(tmp_path / "x", base, tuned, dict.fromkeys(tuned, ParameterMask.nothing({"a": (2,)})))
    with pytest.raises(InputError, match="did you mean 'larger_update'"):
        fuse(tmp_path / "x", base, tuned, {}, conflict="large_update")
    assert not (tmp_path / "x").exists()
