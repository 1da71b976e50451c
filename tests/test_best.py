"""Scores while training: the best state is kept, and what scores changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import onsa
from onsa.errors import InputError
from onsa.evaluation import Scorer
from onsa.files import read_json
from onsa.report.page import render
from onsa.run import Run
from onsa.training.best import BestState
from onsa.training.trainer import PlannedTrainer
from onsa.weights import Weights

Keys = Callable[..., dict[str, Any]]
ON_THE_WAY = {"eval_steps": 2, "stage_rows": 3, "per_device_train_batch_size": 8, "method": "full"}


def digests(run: Run) -> list[bytes]:
    return [path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))]


def facts_of(run: Run, name: str = "full") -> dict[str, Any]:
    return next(record.facts for record in run.history if record.name == name)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Scores that the scorings of each task give in turn, in place of the model's own; the last
    of a list stays."""
    given: dict[str, list[float]] = {}

    def score(scorer: Scorer, task: Any, examples: Any, advance: Any) -> dict[str, Any]:
        values = given[task.name]
        value = values.pop(0) if len(values) > 1 else values[0]
        return {"scores": [value] * len(examples), "replies": [""] * len(examples)}

    monkeypatch.setattr("onsa.training.best.Scorer.score", score)
    return given


def test_pain_P10_the_best_state_is_what_comes_back(  # noqa: N802
    recipe: Keys, tmp_path: Path, said: dict[str, list[float]]
) -> None:
    """Of five scorings the second is the best of the worst task: the result is what a training
    that ends there would be. Red where the last state is kept."""
    said |= {"echo": [0.9, 0.4, 0.0], "upper": [0.1, 0.3, 0.0], "after": [0.5, 0.5, 0.9]}
    keys = {**ON_THE_WAY, "metric_for_best_model": "worst_task", "warmup_ratio": 0}
    keys["lr_scheduler_type"] = "constant"
    del keys["warmup_ratio"]
    best = onsa.tune(**recipe(**keys, output=str(tmp_path / "best")))
    found = facts_of(best)["best_state"]
    assert found["best_step"] == 4
    assert found["last_step"] == found["planned_steps"] > 6
    del keys["eval_steps"], keys["metric_for_best_model"]
    keys = {**recipe(**keys, output=str(tmp_path / "short")), "max_steps": 4}
    del keys["num_train_epochs"]
    said |= {"echo": [0.0], "upper": [0.0], "after": [0.0]}
    assert digests(onsa.tune(**keys)) == digests(best)


def test_pain_P10_it_stops_where_nothing_gets_better(  # noqa: N802
    recipe: Keys, said: dict[str, list[float]]
) -> None:
    """Red where patience is not counted. What is reported is what was trained until then."""
    said |= {"echo": [0.3, 0.5, 0.5, 0.52, 0.9], "upper": [0.0], "after": [1.0]}
    more = {"early_stopping_patience": 2, "early_stopping_threshold": 0.1}
    run = onsa.tune(**recipe(**ON_THE_WAY, **more, metric_for_best_model="echo"))
    facts = facts_of(run)
    found = facts["best_state"]
    assert [point["scores"]["echo"] for point in found["points"]] == [0.3, 0.5, 0.5, 0.52]
    assert (found["best_step"], found["last_step"], facts["steps"]) == (8, 8, 8)
    assert facts["trained_tokens"] == found["points"][-1]["trained_tokens"]
    assert facts["training_flops"] > 0
    whole = found["planned_steps"]
    told = read_json(run / "report.json")
    note = next(note for note in told["notes"] if note.startswith("full: "))
    assert f"stopped after step 8 of {whole}; step 8 was kept, the best by echo" in note
    assert "(echo 3, upper 3, after 3): on these rows the scores" in note
    page = render(told)
    assert "Scores while training" in page
    assert f"step 8 kept, stopped at 8 of {whole}" in page
    assert not list(Path(run).rglob("best"))


def test_scoring_changes_nothing_of_the_training(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout and noise, of which a scoring must not draw; the last state is the best."""
    chance = {"neftune_noise_alpha": 5.0, "architecture": "gpt2"}
    plain = {key: value for key, value in ON_THE_WAY.items() if key != "eval_steps"}
    calm = onsa.tune(**recipe(**plain, **chance, output=str(tmp_path / "calm")))
    monkeypatch.setattr(BestState, "_value", lambda self, scores: float(len(self.found)))

    class Greedy(Scorer):
        def score(self, *given: Any, **named: Any) -> dict[str, Any]:
            torch.rand(3)  # a scoring that draws
            assert not self.model.training
            return super().score(*given, **named)

    monkeypatch.setattr("onsa.training.best.Scorer", Greedy)
    scored = onsa.tune(**recipe(**ON_THE_WAY, **chance, output=str(tmp_path / "scored")))
    assert facts_of(scored)["best_state"]["best_step"] == facts_of(scored)["steps"]
    assert digests(scored) == digests(calm)


def test_scores_on_the_way_are_those_of_the_end(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BestState, "_value", lambda self, scores: float(len(self.found)))
    run = onsa.tune(**recipe(**{**ON_THE_WAY, "stage_rows": 8}, num_train_epochs=3))
    last = facts_of(run)["best_state"]["points"][-1]["scores"]
    ends = read_json(run / "report.json")["results"][-1]["scores"]
    assert last == {name: pytest.approx(score["mean"], abs=1e-6) for name, score in ends.items()}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_pain_P9_killed_and_resumed_the_same_state_is_kept(  # noqa: N802
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Killed after a better state was kept, which the checkpoint gone on from does not know."""
    keys = {**ON_THE_WAY, "method": method, "dropout": 0.1, "early_stopping_patience": 3}
    values = {2: 0.1, 4: 0.5, 6: 0.2, 8: 0.6, 10: 0.3, 12: 0.1, 14: 0.1}

    def value(best: BestState, scores: dict[str, float]) -> float:
        return values.get(best.trainer.state.global_step, 0.0)

    monkeypatch.setattr(BestState, "_value", value)
    calm = onsa.tune(**recipe(**keys, output=str(tmp_path / "calm")))
    assert facts_of(calm, method)["best_state"]["best_step"] == 8
    step, calls = PlannedTrainer.training_step, 0

    def interrupted(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (6, 13):  # with checkpoints at 5 and, once gone on, at 10
            raise KeyboardInterrupt
        return step(*given, **named)

    monkeypatch.setattr(PlannedTrainer, "training_step", interrupted)
    stormy = recipe(**keys, output=str(tmp_path / "stormy"), save_steps=5)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            onsa.tune(**stormy)
    run = onsa.tune(**stormy)
    assert digests(run) == digests(calm)
    ends = [facts_of(each, method) for each in (run, calm)]
    for facts in ends:
        del facts["best_state"]["scoring_seconds"]
    assert ends[0]["best_state"] == ends[1]["best_state"]
    assert ends[0]["trained_tokens"] == ends[1]["trained_tokens"]


def test_more_evaluation_rows_train_anew_only_where_they_choose(
    recipe: Keys, tmp_path: Path
) -> None:
    for keys, reused in (({}, True), ({"eval_steps": 0.5}, False)):
        runs = [
            onsa.tune(
                **recipe(
                    method="full",
                    stage_rows=rows,
                    num_train_epochs=0.2,
                    output=str(tmp_path / str(reused)),
                    **keys,
                )
            )
            for rows in (2, 3)
        ]
        record = next(each for each in runs[1].history if each.name == "full")
        assert record.reused == reused


def test_a_baseline_may_have_no_best_state_and_losses_are_not_averaged_with_shares(
    recipe: Keys, tmp_path: Path
) -> None:
    short = {"eval_rows": 2, "num_train_epochs": 0.4}
    run = onsa.tune(**recipe(**ON_THE_WAY, **short, baselines=["single"]))
    assert "best_state" in facts_of(run)
    assert "best_state" not in facts_of(run, "probe/echo")
    keys = recipe(**ON_THE_WAY, **short, output=str(tmp_path / "mixed"))
    keys["tasks"][0] = {k: v for k, v in keys["tasks"][0].items() if k != "max_new_tokens"}
    keys["tasks"][0]["kind"] = "loss"
    with pytest.raises(InputError, match="would mix losses with shares of right answers; name one"):
        onsa.tune(**keys)
    keys["metric_for_best_model"] = "echo"
    kept = onsa.tune(**keys)
    points = facts_of(kept)["best_state"]["points"]
    losses = {point["step"]: point["scores"]["echo"] for point in points}
    assert min(losses, key=lambda step: losses[step]) == facts_of(kept)["best_state"]["best_step"]
    assert Weights(kept / "model").entry_count
