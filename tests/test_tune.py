"""The whole pipeline on tiny models of the real architectures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import onsa
from onsa.files import read_json
from onsa.run import Run
from onsa.weights import Weights
from tests.conftest import ARCHITECTURES

Keys = Callable[..., dict[str, Any]]

LOADS = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder in sys.argv[1:]:
    model, told = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    wrong = [key for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if told[key]]
    assert not wrong, told
    tied = model.config.tie_word_embeddings
    shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert bool(tied) == shared, "ties"
    AutoTokenizer.from_pretrained(folder)
assert not [name for name in sys.modules if name.startswith("onsa")]
print("loaded")
"""
QUICK = {"num_train_epochs": 0.3, "eval_rows": 4}  # where only the way through is looked at


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_passes_the_whole_pipeline(recipe: Keys, architecture: str) -> None:
    run = onsa.tune(**recipe(architecture, method="cpi_ft", overlap=1, baselines=["full"], **QUICK))
    facts = read_json(run / "report.json")
    assert [row["label"] for row in facts["results"]] == ["base", "full", "cpi_ft"]
    held = [entry for entry in facts["held"] if entry["entries"]]
    assert len(held) == 2  # three groups of one task: stages 2 and 3 hold what came before
    assert all(entry["changed"] == 0 for entry in facts["held"])
    base, model = run.base, Weights(run / "model")
    assert model.shapes == base.shapes
    assert all(torch.isfinite(model[name]).all() for name in model.names)


def test_the_result_loads_where_nobody_heard_of_onsa(recipe: Keys, tmp_path: Path) -> None:
    folders = [
        onsa.tune(**recipe(each, method="full", output=str(tmp_path / each), **QUICK)) / "model"
        for each in ("llama", "gpt2")
    ]
    done = subprocess.run([sys.executable, "-c", LOADS, *folders], capture_output=True, text=True)
    assert done.stdout.strip() == "loaded", done.stderr


def test_a_baseline_sees_as_many_tokens_as_the_method(recipe: Keys) -> None:
    sequence = {"method": "multi_stage", "stages": "each", "label": "sequence"}
    run = onsa.tune(**recipe(method="cpi_ft", baselines=["full", "single", sequence]))
    facts = read_json(run / "report.json")
    tokens = {row["label"]: row["trained_tokens"] for row in facts["results"]}
    assert tokens["base"] == 0
    for label in ("full", "single", "sequence"):
        assert abs(tokens[label] - tokens["cpi_ft"]) < 0.05 * tokens["cpi_ft"], tokens


def test_specialists_are_scored_on_all_rows_of_their_own_task(recipe: Keys) -> None:
    run = onsa.tune(**recipe(method="single", baselines=["full"], stage_rows=2))
    facts = read_json(run / "report.json")
    for row in facts["results"]:
        assert {found["n"] for found in row["scores"].values()} == {8}, row["label"]
    assert sorted(path.name for path in (run / "model").iterdir() if path.is_dir()) == [
        "after", "echo", "upper",
    ]  # fmt: skip


def test_a_changed_core_share_keeps_the_probes(recipe: Keys) -> None:
    onsa.tune(**recipe(method="cpi_ft", core_share=0.01, **QUICK))
    run = onsa.tune(**recipe(method="cpi_ft", core_share="5%", **QUICK))
    reused = {record.name: record.reused for record in run.history}
    for name, kept in reused.items():
        assert kept == name.startswith(
            ("probe/", "transfer/", "score/base", "score/cpi_ft/probe")
        ), name
    assert {"core/echo", "overlap", "fuse", "integrate/1"} <= set(reused)


def test_training_learns(recipe: Keys) -> None:
    run = onsa.tune(**recipe(method="full", num_train_epochs=4))
    points = read_json(run / "report.json")["curves"][0]["points"]
    for task, curve in points.items():
        assert curve[-1][1] < 0.8 * curve[0][1], task


def test_pain_P14_the_same_seed_gives_the_same_bytes(recipe: Keys, tmp_path: Path) -> None:
    """Red where batches are drawn without the run's seed."""

    def digest(name: str, seed: int) -> str:
        keys = recipe(method="cpi_ft", output=str(tmp_path / name), seed=seed, **QUICK)
        run = onsa.tune(**keys)
        return Weights(run / "model").digest

    digests = [digest("one", 1), digest("two", 1), digest("three", 2)]
    assert digests[0] == digests[1] != digests[2]


def test_the_run_is_a_path(recipe: Keys) -> None:
    run = onsa.tune(**recipe(method="full", **QUICK))
    assert isinstance(run, Run)
    assert Path(run) / "model" == run / "model"
    assert "model-index" in (run / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "settings",
    [
        {"saliency": "adam", "order": "dependency", "overlap": "3x chance"},
        {"saliency": "random", "grouping": "loss_transfer", "order": "difficulty"},
        {"fusion": "update_sum", "update_scale": "held_out", "hold": "all", "order": "overlap"},
        {"fusion": "ties", "hold": "random", "overlap": 1, "integrate_schedule": "each"},
        {"groups": [["echo", "after"], ["upper"]], "integrate_on": "group", "replay": 0.1},
        {"saliency": "within_tensor", "conflict": "mean", "integrate_on": "seen", "hold": "none"},
    ],
)
def test_every_rule_passes_the_pipeline(recipe: Keys, settings: dict[str, Any]) -> None:
    keys = recipe(method="cpi_ft", **settings, **QUICK)
    facts = read_json(onsa.tune(**keys) / "report.json")
    assert all(entry["changed"] == 0 for entry in facts["held"])
    assert sorted(name for group in facts["groups"] for name in group) == ["after", "echo", "upper"]


def test_held_out_loss_chooses_the_scale(recipe: Keys) -> None:
    keys = recipe(method="cpi_ft", fusion="update_sum", update_scale="held_out", **QUICK)
    notes = read_json(onsa.tune(**keys) / "report.json")["notes"]
    assert any("has the lowest mean held-out loss (0.25: " in note for note in notes)


def test_tasks_that_are_not_trained_are_scored_too(
    recipe: Keys, task_files: dict[str, Path]
) -> None:
    keys = recipe(method="full", baselines=[{"method": "lora", "learning_rate": 1e-2}])
    keys["untrained_tasks"] = [keys["tasks"].pop()]
    run = onsa.tune(**keys)
    facts = read_json(run / "report.json")
    kept = facts["untrained"]
    assert [task["name"] for task in kept["tasks"]] == ["after"]
    assert [row["label"] for row in kept["results"]] == ["base", "lora", "full"]
    assert {(flip["from"], flip["to"]) for flip in kept["flips"]} == {
        ("base", "full"),
        ("lora", "full"),
    }
    assert set(facts["results"][0]["scores"]) == {"echo", "upper"}
    assert "Tasks that were not trained" in (run / "report.html").read_text(encoding="utf-8")
    # An adapter is no copy of the base.
    stored = {row["label"]: row["stored_bytes"] for row in facts["results"]}
    assert stored["full"] == stored["base"] == 4 * run.base.entry_count
    assert 0 < stored["lora"] < 0.2 * stored["full"]


def test_a_baseline_has_training_keys_of_its_own(recipe: Keys) -> None:
    slow = {"method": "full", "label": "slow", "learning_rate": 1e-9}
    run = onsa.tune(**recipe(method="full", baselines=[slow]))
    assert run.recipe.training.learning_rate == 3e-3
    curves = {c["label"]: c["points"]["echo"] for c in read_json(run / "report.json")["curves"]}
    fall = {label: points[0][1] - points[-1][1] for label, points in curves.items()}
    assert fall["full"] > 10 * abs(fall["slow: full"])
