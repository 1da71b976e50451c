"""`onsa compare`: equal cost, shared steps, failures that stop nobody, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onsa.commands.compare import compare
from onsa.files import read_json
from onsa.methods import all_methods
from onsa.training.trainer import PlannedTrainer
from tests.command_line import onsa, task, write_recipe

TinyModel = Callable[..., Path]
WAYS = "base,prompt_only,full,lora,merge,single,cpi_ft"


def recipe_in(folder: Path, model: Path) -> Path:
    tasks = [task("echo"), task("upper")]
    keys = {"max_steps": ..., "num_train_epochs": 1, "learning_rate": 3e-3, "tasks": tasks}
    return write_recipe(folder, model, **keys)


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["label"]: row for row in read_json(folder / "compare.json")["rows"]}


@pytest.fixture
def path(tiny_model: TinyModel, tmp_path: Path) -> Path:
    return recipe_in(tmp_path, tiny_model())


@pytest.fixture(scope="module")
def compared(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison of many ways."""
    path = recipe_in(tmp_path_factory.mktemp("compared"), tiny_model())
    return compare(path, [], methods=WAYS.split(","), seeds=2, command="onsa compare …")


def test_each_way_is_scored_and_counted_at_equal_cost(compared: Path) -> None:
    rows = rows_of(compared)
    assert list(rows) == WAYS.split(",")
    assert not any(row["why"] for row in rows.values())
    assert all(row["seeds"] == [0, 1] for row in rows.values())
    assert all(row["scores"]["echo"]["n"] == 4 for row in rows.values())
    budget = read_json(compared / "compare.json")["budget"]
    assert budget["kind"] == "tokens"
    for label, row in rows.items():
        trained = row["cost"]["trained_tokens"]
        if all_methods().get(label) is None or not all_methods()[label].trains:
            assert trained == row["cost"]["training_flops"] == 0
        else:  # to the nearest batch of each of its trainings
            assert trained == pytest.approx(budget["amount"], rel=0.2), label
    assert rows["lora"]["cost"]["stored_bytes"] < 0.2 * rows["full"]["cost"]["stored_bytes"]
    assert rows["lora"]["cost"]["training_flops"] < rows["full"]["cost"]["training_flops"]
    assert rows["lora"]["cost"]["optimizer_bytes"] < rows["full"]["cost"]["optimizer_bytes"]


def test_ways_that_begin_alike_share_their_steps(compared: Path) -> None:
    for name in ("echo", "upper"):
        made = list((compared / "steps" / "probe" / name).iterdir())
        # One for each seed for merge and single together, and one each for CPI-FT's shorter ones.
        assert len(made) == 4
    assert len(list((compared / "steps" / "score" / "base" / "base").iterdir())) == 1


def test_it_says_which_to_take_and_writes_that_model(compared: Path) -> None:
    facts = read_json(compared / "compare.json")
    best = facts["best"]
    averages = {label: row["average"]["mean"] for label, row in rows_of(compared).items()}
    one_model = {label: mean for label, mean in averages.items() if label != "single"}
    assert averages[best] == max(one_model.values())
    assert facts["headline"].startswith(("Take ", "Train nothing"))
    assert facts["model_of"] == (best if best in ("full", "lora", "merge", "cpi_ft") else None)
    assert (compared / "model").is_dir() == (facts["model_of"] is not None)
    page = (compared / "compare.html").read_text(encoding="utf-8")
    for label in ("LoRA", "CPI-FT", "Quality against training FLOPs", "On disk"):
        assert label in page


def test_started_again_it_trains_nothing(compared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows_of(compared)

    def refuse(*given: Any, **named: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(PlannedTrainer, "train", refuse)
    path = compared.parent / "recipe.yaml"
    again = compare(path, [], methods=WAYS.split(","), seeds=2)
    assert rows_of(again) == before


def test_a_way_that_fails_stops_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = PlannedTrainer.training_step

    def broken(trainer: Any, *given: Any, **named: Any) -> Any:
        if hasattr(trainer.model, "peft_config"):
            raise RuntimeError("CUDA error: launch failed")
        return step(trainer, *given, **named)

    monkeypatch.setattr(PlannedTrainer, "training_step", broken)
    folder = compare(path, [], methods=["base", "lora", "full"], take="lora")
    assert read_json(folder / "compare.json")["model_of"] is None
    rows = rows_of(folder)
    assert rows["lora"]["why"] == "RuntimeError: CUDA error: launch failed"
    assert "average" not in rows["lora"]
    assert rows["full"]["average"]["mean"] >= 0
    assert "Traceback" in (folder / "lora-0.txt").read_text(encoding="utf-8")
    facts = read_json(folder / "compare.json")
    assert "LoRA failed: RuntimeError: CUDA error: launch failed." in facts["sentences"]
    assert "launch failed" in (folder / "compare.html").read_text(encoding="utf-8")


def test_a_budget_of_flops_gives_cheaper_ways_more_tokens(path: Path) -> None:
    ended = onsa("compare", path, "--methods", "full,lora", "--budget", "flops=2e9", "--json", "-q")
    assert ended.code == 0, ended.err
    rows = {row["label"]: row["cost"] for row in json.loads(ended.out)["rows"]}
    assert rows["lora"]["trained_tokens"] > 1.1 * rows["full"]["trained_tokens"]
    for cost in rows.values():
        assert cost["training_flops"] == pytest.approx(2e9, rel=0.15)
    assert not list((path.parent / "run-compare" / "pilots").glob(".*"))


def test_a_budget_of_minutes_counts_what_is_done_beside_training(path: Path) -> None:
    folder = compare(path, [], methods=["full", "cpi_ft"], budget="minutes=0.1")
    rows = {label: row["cost"] for label, row in rows_of(folder).items()}
    for label, cost in rows.items():
        pilot = read_json(folder / "pilots" / f"{label}.json")
        a_token = pilot["training_seconds"] / pilot["trained_tokens"]
        wanted = (6 - pilot["other_seconds"]) / a_token
        assert cost["trained_tokens"] == pytest.approx(wanted, rel=0.2)
    # Cores, overlap and fusion leave less time for training.
    pilots = [read_json(folder / "pilots" / f"{label}.json") for label in ("full", "cpi_ft")]
    assert pilots[0]["other_seconds"] < pilots[1]["other_seconds"]


def test_a_way_that_does_not_fit_the_model_is_told_before_any_trains(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goes red where a comparison does not look for what its ways name (`check_choices`)."""
    named = {"label": "odd", "method": "lora", "target_modules": ["no_such_module"]}
    path = recipe_in(tmp_path, tiny_model())
    path.write_text(path.read_text() + f"baselines: [{json.dumps(named)}]\n", encoding="utf-8")
    said: list[str] = []
    monkeypatch.setattr("onsa.progress.Progress.say", lambda self, line: said.append(line))
    compare(path, ["method=full"], methods=["base", "full", "odd"])
    fails = next(number for number, line in enumerate(said) if line.startswith("odd failed: "))
    begins = next(number for number, line in enumerate(said) if line.startswith("base, seed"))
    assert "no_such_module" in said[fails]
    assert fails < begins
    assert not any(line.startswith("odd, seed") for line in said)


def test_a_budget_that_is_spent_at_once_fails_that_way_alone(path: Path) -> None:
    ended = onsa("compare", path, "--methods", "base,full", "--budget", "flops=10")
    assert ended.code == 0
    assert "full failed: --budget: flops=10 is spent before anything is trained" in ended.err
    assert "Train nothing" in ended.out


def test_tasks_that_are_not_trained_show_what_is_forgotten(
    tiny_model: TinyModel, tmp_path: Path
) -> None:
    path = write_recipe(
        tmp_path, tiny_model(), max_steps=3, learning_rate=3e-3,
        tasks=[task("echo")], untrained_tasks=[task("upper", kind="loss", max_new_tokens=...)],
    )  # fmt: skip
    folder = compare(path, [], methods=["base", "full"])
    rows = rows_of(folder)
    assert rows["full"]["forgotten"]["upper"].keys() >= {"change", "p_value", "is_clear"}
    assert rows["base"]["untrained"]["upper"]["mean"] != rows["full"]["untrained"]["upper"]["mean"]
    assert rows["base"]["forgotten"] == {}


def test_on_a_terminal_there_is_a_line_for_each_way(path: Path) -> None:
    ended = onsa("compare", path, "--methods", "base,full,single", "--take", "full")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[2].split()[0] == "average"
    assert {line.split("  ")[0] for line in lines[3:6]} == {
        "base model",
        "plain mixing",
        "specialists",
    }
    assert lines[-2].endswith("model (full)")
    assert lines[-1].endswith("compare.html")
    assert (path.parent / "run-compare" / "model" / "config.json").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--methods", "fulll"], "--methods: there is no method 'fulll'; did you mean 'full'"),
        (["--methods", "full,full"], "'full' stands there twice"),
        (["--budget", "token=5"], "--budget: 'token=5' is no budget; write tokens=200000"),
        (["--budget", "tokens=many"], "--budget: 'many' is no amount; write tokens=200000"),
        (["--budget", "tokens=-5"], "'-5' is no amount"),
        (["--seeds", "0"], "--seeds: 0 seeds; give 1 to 100"),
        (["--methods", "base,full", "--take", "lora"], "--take: 'lora' is not compared; name one"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    path: Path, given: list[str], said: str
) -> None:
    assert said in onsa("compare", path, *given).refused()
    assert not (path.parent / "run-compare").exists()


def test_what_no_way_could_do_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise RuntimeError("no such device")

    monkeypatch.setattr(PlannedTrainer, "training_step", broken)
    ended = onsa("compare", path, "--methods", "full", "-q")
    assert "no method could be carried out (RuntimeError: no such device)" in ended.refused()
