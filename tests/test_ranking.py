"""From scores to which way to take: by hand-worked numbers, and what is said of them."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from onsa.data.example import Example
from onsa.figures.ranking import Outcome, rank
from onsa.report.pages.ranking import render_ranking
from onsa.tasks import Task
from onsa.tasks.generate import KIND

COST = {"training_flops": 0, "seconds": 0.0, "trained_tokens": 0, "peak_memory_bytes": 0}
COST |= {"stored_bytes": 1000, "energy_kwh": None, "parameters": 100, "trained_entries": 0}


def task(name: str, rows: int, kind: str = "generate", passage_rows: int = 1) -> Task:
    """With so many rows to score on, in passages of so many where that is more than one."""
    said = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "!"})
    groups = [str(row // passage_rows) if passage_rows > 1 else "" for row in range(rows)]
    examples = tuple(Example(said, {}, f"{name}:{row}", group=g) for row, g in enumerate(groups))
    return Task(name, kind, KIND.settings(train="x.jsonl"), (), examples)


def outcome(label: str, seed: int, scores: dict[str, list[float]], **changes: Any) -> Outcome:
    fields = {name: changes.pop(name) for name in ("untrained", "models") if name in changes}
    return Outcome(label, seed, scores, cost={**COST, **changes}, **fields)


def hits(count: int, of: int) -> list[float]:
    return [1.0] * count + [0.0] * (of - count)


def ranked(
    *outcomes: Outcome, untrained: tuple[Task, ...] = (), passage_rows: int = 1
) -> dict[str, Any]:
    rows = {name: len(scores) for name, scores in outcomes[0].scores.items()}
    tasks = [task(name, rows.get(name, 1), passage_rows=passage_rows) for name in ("a", "b")]
    return rank(outcomes, tasks, untrained, "tokens")


def row(ranking: dict[str, Any], label: str) -> dict[str, Any]:
    return next(row for row in ranking["rows"] if row["label"] == label)


def test_means_weakest_task_and_difference_by_hand() -> None:
    found = ranked(
        outcome("base", 0, {"a": hits(2, 10), "b": hits(0, 10)}),
        outcome("full", 0, {"a": hits(9, 10), "b": hits(6, 10)}),
    )
    full, base = row(found, "full"), row(found, "base")
    assert found["best"] == "full"
    assert full["average"]["mean"] == pytest.approx(0.75)
    assert full["worst"] == {"task": "b", "mean": 0.6}
    assert base["against_best"]["change"] == pytest.approx(-0.65)
    assert base["against_best"]["is_clear"]
    assert full["against_best"] is None
    assert found["headline"].startswith("Take plain mixing: 75.0")
    assert found["headline"].endswith("clearly more than every other.")


def test_a_small_lead_is_not_called_clear() -> None:
    found = ranked(
        outcome("full", 0, {"a": hits(6, 10), "b": hits(6, 10)}, training_flops=100),
        outcome("lora", 0, {"a": hits(5, 10), "b": hits(6, 10)}, training_flops=60, stored_bytes=9),
    )
    assert found["headline"].endswith("the most; but no other is clearly behind.")
    assert found["sentences"][0].startswith("Not clearly behind: LoRA (−5.0")
    assert "Where cost counts: LoRA, with 60\u202f% of its training FLOPs" in found["sentences"][1]
    assert "9\u202fB on disk instead of 1000\u202fB" in found["sentences"][1]


def test_what_the_seeds_disagree_on_is_not_clear() -> None:
    """Ahead on one seed by far and behind on the other: the examples alone would call it clear."""
    ahead, behind = {"a": hits(19, 20), "b": hits(19, 20)}, {"a": hits(3, 20), "b": hits(3, 20)}
    middle = {"a": hits(8, 20), "b": hits(8, 20)}
    found = ranked(
        outcome("full", 0, ahead), outcome("full", 1, behind),
        outcome("lora", 0, middle), outcome("lora", 1, middle),
    )  # fmt: skip
    assert found["best"] == "full"
    assert not row(found, "lora")["against_best"]["is_clear"]
    assert row(found, "full")["average"]["by_seed"] == pytest.approx([0.95, 0.15])


def test_pain_P8_examples_of_one_passage_are_no_news_of_each_other() -> None:
    """Four passages of ten questions each, right or wrong together: 20 of 40 look clearly more than
    10 of 40 question by question, and are not by passages. Red where rows are drawn one by one."""
    ways = [
        outcome(label, 0, {"a": hits(right, 40), "b": hits(right, 40)})
        for label, right in (("base", 10), ("full", 20))
    ]
    alone, together = ranked(*ways), ranked(*ways, passage_rows=10)
    assert row(alone, "base")["against_best"]["is_clear"]
    base, full = row(together, "base"), row(together, "full")
    assert not base["against_best"]["is_clear"]
    assert base["against_best"]["tasks"]["a"]["p_value"] > 0.1
    assert (full["scores"]["a"]["n"], full["scores"]["a"]["groups"]) == (40, 4)
    for key in ("average", "against_best"):
        found = [each[key] or {} for each in (row(alone, "base"), base)]
        narrow, wide = (each["high"] - each["low"] for each in found)
        assert wide > 2 * narrow
    assert full["average"]["mean"] == row(alone, "full")["average"]["mean"]
    assert "1 seed, 80 examples each, drawn in 8 groups; " in together["sentences"][-1]
    assert "1 seed, 80 examples each; " in alone["sentences"][-1]


def test_rows_that_are_their_own_groups_change_nothing() -> None:
    ways = [
        outcome(label, seed, {"a": hits(5 + seed + right, 10), "b": hits(right, 10)})
        for label, right in (("base", 1), ("full", 3))
        for seed in (0, 1)
    ]
    named = [
        dataclasses.replace(each, evaluation=tuple(
            dataclasses.replace(one, group=one.source) for one in each.evaluation
        ))
        for each in (task("a", 10), task("b", 10))
    ]  # fmt: skip
    assert rank(ways, named, (), "tokens") == ranked(*ways)


def test_specialists_are_a_mark_to_reach_and_not_an_answer() -> None:
    found = ranked(
        outcome("full", 0, {"a": hits(6, 10), "b": hits(6, 10)}),
        outcome("single", 0, {"a": hits(9, 10), "b": hits(9, 10)}, models=2),
    )
    assert found["best"] == "full"
    assert any("specialists, 2 models, one for each task" in each for each in found["sentences"])


def test_specialists_alone_are_ranked_all_the_same() -> None:
    found = ranked(outcome("single", 0, {"a": hits(9, 10), "b": hits(9, 10)}, models=2))
    assert found["best"] == "single"
    assert found["headline"].startswith("Specialists has 90.0")


def test_the_front_is_what_nobody_beats() -> None:
    found = ranked(
        outcome("base", 0, {"a": hits(1, 10), "b": hits(1, 10)}),
        outcome("lora", 0, {"a": hits(6, 10), "b": hits(6, 10)}, training_flops=50),
        outcome("green", 0, {"a": hits(5, 10), "b": hits(5, 10)}, training_flops=60),
        outcome("full", 0, {"a": hits(8, 10), "b": hits(8, 10)}, training_flops=100),
    )
    front = {each["label"]: each["front"]["training_flops"] for each in found["rows"]}
    assert front == {"base": True, "lora": True, "green": False, "full": True}


def test_losses_count_as_likelihoods() -> None:
    losing = [outcome("base", 0, {"a": [2.0, 2.2]}), outcome("full", 0, {"a": [0.5, 0.4]})]
    found = rank(losing, [task("a", 2, "loss")], (), "tokens")
    assert found["best"] == "full"
    assert row(found, "full")["scores"]["a"]["mean"] == pytest.approx(0.45)
    assert row(found, "full")["average"]["mean"] == pytest.approx(0.638, abs=1e-3)


def test_forgetting_is_told_against_the_base() -> None:
    before, after = hits(18, 20), hits(2, 20)
    found = ranked(
        outcome("base", 0, {"a": hits(1, 10), "b": hits(1, 10)}, untrained={"old": before}),
        outcome("full", 0, {"a": hits(9, 10), "b": hits(9, 10)}, untrained={"old": after}),
        untrained=(task("old", 20),),
    )
    assert row(found, "full")["forgotten"]["old"]["change"] == pytest.approx(-0.8)
    assert any("not trained, against the base: old (−80.0" in each for each in found["sentences"])


def test_a_way_with_a_failed_seed_has_no_figures() -> None:
    found = ranked(
        outcome("full", 0, {"a": hits(6, 10), "b": hits(6, 10)}),
        outcome("full", 1, {"a": hits(6, 10), "b": hits(6, 10)}),
        outcome("lora", 0, {"a": hits(9, 10), "b": hits(9, 10)}),
        Outcome("lora", 1, why="out of memory"),
    )
    assert found["best"] == "full"
    assert row(found, "lora")["why"] == "out of memory (1 of 2 seeds)"
    assert "LoRA failed: out of memory (1 of 2 seeds)." in found["sentences"]
    assert ranked(Outcome("full", 0, why="no"))["headline"] == "No method could be carried out."


def test_the_page_shows_what_was_given_and_stays_harmless() -> None:
    facts = {**sample(), "title": "<script>alert(1)</script>"}
    page = render_ranking(facts)
    assert "<script>alert" not in page
    assert page.count('class="panel scatter"') == 4  # energy was not measured
    assert "Energy was not measured" in page
    assert "the best" in page
    assert "whole groups were drawn" in page
    assert "64 examples in 8 groups" in page
    assert "64 examples in 64 groups" not in page


def sample() -> dict[str, Any]:
    """A plausible comparison, the same on every call."""
    chance = random.Random(1)
    means = {"base": 0.1, "full": 0.56, "lora": 0.53, "green": 0.44, "cpi_ft": 0.47, "merge": 0.2}
    flops = {"full": 9e13, "lora": 6e13, "green": 5e13, "cpi_ft": 9.2e13, "merge": 9e13}
    outcomes = [
        Outcome(
            label,
            seed,
            {
                name: [float(chance.random() < mean + shift) for _ in range(64)]
                for name, shift in (("reverse", -0.05), ("needle", 0.2))
            },
            {"old": [float(chance.random() < 0.6 - mean / 3) for _ in range(64)]},
            {
                **COST,
                "training_flops": flops.get(label, 0),
                "seconds": flops.get(label, 0) / 6e11,
                "trained_tokens": 2994 if label in flops else 0,
                "peak_memory_bytes": 1.5e9 if label == "lora" else 3e9 if label in flops else 0,
                "stored_bytes": 2e7 if label == "lora" else 5.4e8,
            },
        )
        for label, mean in means.items()
        for seed in (0, 1, 2)
    ]
    tasks, untrained = [task("reverse", 64, passage_rows=8), task("needle", 64)], [task("old", 64)]
    return {
        **rank(outcomes, tasks, untrained, "tokens"),
        "title": "Ways of tuning compared on reverse and needle",
        "tasks": [{"name": each.name, "metric": each.metric} for each in tasks],
        "untrained_tasks": [{"name": "old", "metric": "exact match"}],
        "ways": {label: {"method": label, "summary": "…", "settings": {}} for label in means},
        "seeds": [0, 1, 2],
        "budget": {"kind": "tokens", "amount": 2994},
    }
