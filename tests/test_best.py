"""Scores while training: the best state is kept, and what scores changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import onsa
from onsa.errors import InputError
from onsa.evaluation.scorer import Scorer
from onsa.files import read_json
from onsa.metrics.figures import find_figure
from onsa.report.pages.tuning import render
from onsa.report.scores import Score, metric_of
from onsa.run import Run
from onsa.tasks import all_kinds
from onsa.training.best import BestState
from onsa.weights import Weights
from tests.breaking_off import break_off_at
from tests.conftest import write_rows

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

    def score(scorer: Scorer, task: Any, examples: Any, *rest: Any) -> dict[str, Any]:
        values = given[task.name]
        value = values.pop(0) if len(values) > 1 else values[0]
        return {"scores": [value] * len(examples), "replies": [""] * len(examples)}

    monkeypatch.setattr("onsa.training.best.Scorer.score", score)
    return given


def test_pain_P10_the_best_state_is_what_comes_back(
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


def test_pain_P10_it_stops_where_nothing_gets_better(
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
def test_pain_P9_killed_and_resumed_the_same_state_is_kept(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Killed between scorings, and again where the best state is older than the checkpoint."""
    keys = {**ON_THE_WAY, "method": method, "dropout": 0.1, "early_stopping_patience": 3}
    values = {2: 0.1, 4: 0.5, 6: 0.2, 8: 0.6, 10: 0.3, 12: 0.1, 14: 0.1}

    def value(best: BestState, scores: dict[str, float]) -> float:
        return values.get(best.trainer.state.global_step, 0.0)

    monkeypatch.setattr(BestState, "_value", value)
    calm = onsa.tune(**recipe(**keys, output=str(tmp_path / "calm")))
    assert facts_of(calm, method)["best_state"]["best_step"] == 8
    break_off_at(monkeypatch, 6, 13)  # with checkpoints at 5 and, once gone on, at 10
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


def test_a_better_state_that_does_not_come_again_leaves_that_of_the_checkpoint(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that does not compute the same twice: killed after a better state was kept,
    which the checkpoint does not know. Goes red where keeping it throws away the checkpoint's."""
    values = {2: 0.1, 4: 0.5, 8: 0.6}
    monkeypatch.setattr(
        BestState, "_value", lambda best, _: values.get(best.trainer.state.global_step, 0.0)
    )
    break_off_at(monkeypatch, 9)
    keys = {**ON_THE_WAY, "method": "full", "save_steps": 5}
    stormy = recipe(**keys, output=str(tmp_path / "stormy"))
    with pytest.raises(KeyboardInterrupt):
        onsa.tune(**stormy)
    values[8] = 0.4
    run = onsa.tune(**stormy)
    calm = onsa.tune(**{**stormy, "output": str(tmp_path / "calm")})
    assert facts_of(run, "full")["best_state"]["best_step"] == 4
    assert digests(run) == digests(calm)


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


def of_a_kind(
    recipe: Keys, folder: Path, kind: str, labels: list[Any], scored: list[Any], **changes: Any
) -> dict[str, Any]:
    """A recipe of one task, texts with these labels, trained and scored in this order."""
    files = {
        name: str(
            write_rows(
                folder / f"{name}.jsonl",
                [{"text": f"{name} {n}", "label": label} for n, label in enumerate(given)],
            )
        )
        for name, given in (("train", labels), ("eval", scored))
    }
    keys = recipe(**{**ON_THE_WAY, "stage_rows": len(scored), "num_train_epochs": 6, **changes})
    return {**keys, "tasks": [{"name": "mood.v2", "kind": kind, **files}]}


def reply_in_turn(monkeypatch: pytest.MonkeyPatch, turns: list[list[str]]) -> None:
    """Replies that the scorings give in turn, scored by the task; the last of them stay."""

    def score(scorer: Scorer, task: Any, examples: Any, *rest: Any) -> dict[str, Any]:
        replies = turns.pop(0) if len(turns) > 1 else turns[0]
        return {"scores": task.scores(replies, examples), "replies": replies}

    monkeypatch.setattr("onsa.training.best.Scorer.score", score)


MOODS = {"labels": ["yes", "no"] * 6, "scored": ["no", "no", "no", "yes"]}


@pytest.mark.parametrize(
    ("metric", "told", "kept"),
    [
        ("mood.v2", "mood.v2", 6),
        ("mood.v2.accuracy", "mood.v2", 6),
        ("mood.v2.macro_f1", "mood.v2.f1_macro", 4),
    ],
)
def test_pain_P10_the_best_state_by_a_figure_over_all_rows(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, told: str, kept: int
) -> None:
    """Three of four rows are 'no'. To say so of all is right on more rows than to guess, and worse
    by macro F1. Red where only the mean score of rows can decide."""
    wrong, guessed, majority = ["yes", "yes", "yes", "no"], ["yes", "yes", "no", "yes"], ["no"] * 4
    reply_in_turn(monkeypatch, [wrong, guessed, majority, wrong])
    keys = {**MOODS, "metric_for_best_model": metric}
    run = onsa.tune(**of_a_kind(recipe, tmp_path, "classify", **keys))
    found, facts = facts_of(run)["best_state"], read_json(run / "report.json")
    assert (found["best_step"], found["metric"]) == (kept, told)
    assert [point["scores"]["mood.v2"] for point in found["points"]][1:3] == [0.5, 0.75]
    if told == "mood.v2":
        assert found["figure"] is None
        return
    figures = [point["figures"]["mood.v2.f1_macro"] for point in found["points"]]
    assert figures[1:3] == [0.5, pytest.approx(3 / 7, abs=1e-6)]
    (note,) = [note for note in facts["notes"] if note.startswith("full: ")]
    assert "step 4 was kept, the best by mood.v2.f1_macro (0.5) of" in note
    page = render(facts)
    assert "full: mood.v2.f1_macro" in page
    assert "mood.v2.f1_macro 0.0\N{NARROW NO-BREAK SPACE}% at first, 50.0" in page


def test_of_errors_the_smallest_is_the_best_and_patience_counts_it(
    recipe: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Squared errors of 4, 1, 2.25 and 1, of which the last two are no better than the second."""
    numbers = {"labels": [n + 0.5 for n in range(8)], "scored": [1.5, 2.5, 3.5]}
    turns = [[str(number + off) for number in numbers["scored"]] for off in (2.0, 1.0, 1.5, 1.0)]
    reply_in_turn(monkeypatch, turns)
    keys = {**numbers, "metric_for_best_model": "mood.v2.mse", "early_stopping_patience": 2}
    run = onsa.tune(**of_a_kind(recipe, tmp_path, "regress", **keys, eval_steps=1))
    found = facts_of(run)["best_state"]
    assert [point["figures"]["mood.v2.mse"] for point in found["points"]] == [4.0, 1.0, 2.25, 1.0]
    assert (found["best_step"], found["last_step"]) == (2, 4)


@pytest.mark.parametrize(
    ("turns", "kept", "line"),
    [
        ([["1", "1", "1"], ["3", "2", "1"], ["1", "1", "1"]], 2, "step 2 was kept, the best by"),
        ([["1", "1", "1"]], 6, "was not defined in any of 6 scorings; the state of step 6, the"),
    ],
)
def test_what_is_not_defined_is_never_the_best(
    recipe: Keys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    turns: list[list[str]],
    kept: int,
    line: str,
) -> None:
    """Numbers that are all alike have no correlation: even a negative one is more. A checkpoint
    keeps that there was none."""
    reply_in_turn(monkeypatch, turns)
    numbers = {"labels": [n + 0.5 for n in range(8)], "scored": [1.5, 2.5, 3.5]}
    keys = {**numbers, "metric_for_best_model": "mood.v2.pearson", "save_steps": 1}
    run = onsa.tune(**of_a_kind(recipe, tmp_path, "regress", **keys, eval_steps=1))
    assert facts_of(run)["best_state"]["best_step"] == kept
    facts = read_json(run / "report.json")
    assert any(line in note for note in facts["notes"])
    assert "Scores while training" in render(facts)


@pytest.mark.parametrize(
    ("metric", "scored", "line"),
    [
        ("mood.v2.pearsen", [1.5, 2.5], "does not measure 'pearsen'; did you mean 'pearson'?"),
        (
            "mood.v2.f1",
            [1.5, 2.5],
            "task 'mood.v2' does not measure 'f1'; known here: closeness, mae, mse,",
        ),
        ("mood.pearson", [1.5, 2.5], "'mood.pearson' is no task of the recipe; did you mean 'mood"),
        ("mood.v2.", [1.5, 2.5], "'mood.v2.' is no task of the recipe; did you mean 'mood.v2'?"),
        ("mood.v2.r2", [1.5, 1.5], "R² of task 'mood.v2' is not defined on its first 2 evaluation"),
    ],
)
def test_pain_P12_a_measure_that_the_task_does_not_have_is_refused(
    recipe: Keys, tmp_path: Path, metric: str, scored: list[float], line: str
) -> None:
    """Before anything is trained, with those that it has. Red where it comes up in a scoring."""
    keys = of_a_kind(recipe, tmp_path, "regress", [1.5, 2.0, 3.5], scored)
    with pytest.raises(InputError) as caught:
        onsa.tune(**{**keys, "metric_for_best_model": metric})
    assert line in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_every_figure_says_which_way_is_better() -> None:
    """By its kind, and the words by which a report without kinds tells agree with them."""
    lower = {name: sorted(kind.lower_is_better) for name, kind in all_kinds().items()}
    assert lower.pop("classify") == lower.pop("pair") == ["Hamming loss"]
    assert lower.pop("regress") == ["MAE", "MSE"]
    assert lower.pop("loss") == ["perplexity"]
    assert not any(lower.values())
    for name in ("Hamming loss", "MAE", "MSE", "perplexity", "F1 macro", "Pearson", "R²", "BLEU"):
        told = any(name in kind.lower_is_better for kind in all_kinds().values())
        assert metric_of({"metric": name}, [Score(0.5)]).higher_is_better != told


@pytest.mark.parametrize(
    ("figure", "spellings"),
    [
        ("F1 macro", ["f1_macro", "macro_f1", "macro-F1", "F1 macro"]),
        ("ROUGE-2", ["rouge2", "ROUGE-2", "rouge_2"]),
        ("R²", ["r2", "R²"]),
        ("chrF++", ["chrf++"]),
        ("rating 1-10", ["rating_1_10"]),
    ],
)
def test_figures_are_found_as_one_writes_them(figure: str, spellings: list[str]) -> None:
    others = ["F1 micro", "ROUGE-1", "ROUGE-L", "chrF", "MSE"]
    assert [find_figure(each, [*others, figure]) for each in spellings] == [figure] * len(spellings)
    assert find_figure("f1", [*others, figure]) is None
