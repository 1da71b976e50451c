"""The figures of whole runs, as they stand in `report.json`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onsa
from onsa.files import read_json
from onsa.report.pages.tuning import render
from tests.conftest import write_rows

Keys = Callable[..., dict[str, Any]]


def test_pain_P11_whether_tuning_helped_is_answered(
    recipe: Keys, task_files: dict[str, Path]
) -> None:
    """Base, base with a prompt, and tuned, on the same rows, with intervals and what flipped.

    Red (tried) when the base is scored on fewer rows than the rest, when a result goes without its
    figures over all rows, when these lose their n, and when the prompted base is not compared.
    """
    tasks = [
        {"name": "echo", "kind": "rouge", "train": str(task_files["echo"]), "eval_rows": 8,
         "max_new_tokens": 4},
        {"name": "after", "kind": "loss", "train": str(task_files["after"]), "eval_rows": 8},
    ]  # fmt: skip
    prompted = {"method": "prompt_only", "label": "prompted", "shots": 2}
    run = onsa.tune(**recipe(method="full", tasks=tasks, baselines=[prompted]))
    facts = read_json(run / "report.json")
    assert [row["label"] for row in facts["results"]] == ["base", "prompted", "full"]
    for row in facts["results"]:
        figures = [*row["scores"].values(), *(
            figure for each in row["measures"].values() for figure in each.values())]  # fmt: skip
        assert {figure["n"] for figure in figures} == {8}
        assert set(row["measures"]["echo"]) == {"ROUGE-1", "ROUGE-2", "ROUGE-L"}
        perplexity, loss = row["measures"]["after"]["perplexity"], row["scores"]["after"]
        assert perplexity["low"] < perplexity["mean"] < perplexity["high"]
        assert loss["low"] < loss["mean"] < loss["high"]
    pairs = {(flip["from"], flip["to"], flip["task"]) for flip in facts["flips"]}
    assert pairs == {(a, "full", t) for a in ("base", "prompted") for t in ("echo", "after")}
    assert all({"gained", "lost", "p_value", "examples"} <= set(flip) for flip in facts["flips"])
    assert set(facts["normalised"]["scores"]) == {"base", "prompted", "full"}
    page = render(facts)
    assert "Figures over all rows" in page
    assert "perplexity" in page
    assert "Avg. Norm. Score = 10 / T" in page


def test_rows_of_a_group_are_drawn_together(recipe: Keys, tmp_path: Path) -> None:
    """Rows of one group are one piece of news: the interval is that of the groups."""
    rows = [{"prompt": f"again {n}", "completion": f"w{n}"} for n in range(40)]
    path = write_rows(tmp_path / "grouped.jsonl", rows)
    task = {"name": "echo", "kind": "loss", "train": str(path), "eval_rows": 20}
    plain = read_json(onsa.tune(**recipe(method="full", tasks=[task])) / "report.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("onsa.figures.results.groups_of", lambda task, count: [
            f"g{n // 5}" for n in range(count)])  # fmt: skip
        keys = recipe(method="full", tasks=[task], output=str(tmp_path / "again"))
        grouped = read_json(onsa.tune(**keys) / "report.json")
    one, other = (facts["results"][0]["scores"]["echo"] for facts in (plain, grouped))
    assert one["mean"] == other["mean"]
    assert one["low"] != other["low"]
