"""`onsa diff`: settings, data, versions, scores on the rows of both runs, costs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onsa.data.example import Example
from onsa.figures.record import flattened
from onsa.figures.rows import row_digests
from onsa.files import read_json, write_json
from tests.command_line import WORDS, onsa, task, write_recipe
from tests.conftest import write_rows

TinyModel = Callable[..., Path]


@pytest.fixture(scope="module")
def runs(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `run` and `second`: another rate and method, other rows of a task."""
    folder = tmp_path_factory.mktemp("runs")
    tasks = [task("echo", train_rows=40, eval="asked.jsonl", eval_rows=...), task("upper")]
    asked = [{"prompt": f"echo {word}", "completion": word} for word in ("ka", "ki", "ko", "zz")]
    path = write_recipe(folder, tiny_model(), tasks=tasks, max_steps=6, learning_rate=1e-2)
    rows = [{"prompt": f"echo {w}", "completion": w} for w in WORDS if w not in ("ka", "ki", "ko")]
    write_rows(folder / "echo.jsonl", rows)
    write_rows(folder / "asked.jsonl", asked)
    assert onsa("tune", path, "-q").code == 0
    write_rows(folder / "asked.jsonl", [*asked[:3], {"prompt": "echo yy", "completion": "yy"}])
    second = ("output=second", "method=lora", "learning_rate=0.02", "tasks.echo.train_rows=44")
    assert onsa("tune", path, *second, "-q").code == 0
    return folder


def differing(runs: Path, *more: object) -> dict[str, Any]:
    done = onsa("diff", runs / "run", runs / "second", "--json", *more)
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def test_settings_side_by_side_only_those_that_differ(runs: Path) -> None:
    changed = {each["key"]: (each["before"], each["after"]) for each in differing(runs)["settings"]}
    assert changed["learning_rate"] == (0.01, 0.02)
    assert changed["method"] == ("full", "lora")
    assert changed["tasks.echo.train_rows"] == (40, 44)
    assert changed["r"][0] is None
    assert not {"seed", "max_steps", "tasks.upper.train", "output"} & changed.keys()


def test_data_by_the_digest_of_each_row(runs: Path) -> None:
    echo, upper = differing(runs)["data"]
    assert echo["evaluation"] == {"added": 1, "removed": 1, "kept": 3}
    assert echo["train_rows"] == [40, 44]
    assert echo["train"]["added"] - echo["train"]["removed"] == 4
    assert upper["same"]
    assert not echo["same"]


def test_scores_are_paired_on_the_rows_of_both(runs: Path) -> None:
    """Red when the rows of one run alone are taken, or all of both."""
    facts = differing(runs)
    first, base = facts["pairs"]
    assert [first["labels"], base["labels"]] == [["full", "lora"], ["base", "base"]]
    found = {each["task"]: each for each in first["flips"]}
    before, after = (score_rows(runs / name) for name in ("run", "second"))
    for name, label, rows in (("echo", "full", 3), ("upper", "full", 4)):
        common = before[label, name].keys() & after["lora", name].keys()
        assert first["results"][0]["scores"][name]["n"] == rows == len(common)
        gained = sum(after["lora", name][row] > before[label, name][row] for row in common)
        lost = sum(after["lora", name][row] < before[label, name][row] for row in common)
        assert (found[name]["gained"], found[name]["lost"]) == (gained, lost)
    assert not any(each["gained"] or each["lost"] for each in base["flips"]), "one base"
    assert "the same score on each of 7 rows" in facts["sentences"][0]


def test_rows_are_paired_wherever_they_stand(runs: Path, tmp_path: Path) -> None:
    """Red when rows are paired by their place: the same rows and scores, in the other order."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, turn in zip(folders, (1, -1), strict=True):
        shutil.copytree(runs / "run", folder, ignore=shutil.ignore_patterns("steps", "model"))
        kept = read_json(folder / "rows.json")
        kept["tasks"]["upper"]["evaluation"] = kept["tasks"]["upper"]["evaluation"][::turn]
        said = {"scores": [1, 0, 0, 0][::turn], "replies": list("abcd")[::turn]}
        kept["scores"]["full"]["0"]["upper"] = said
        write_json(folder / "rows.json", kept)
    facts = json.loads(onsa("diff", *folders, "--json").out)
    (found,) = (each for each in facts["pairs"][0]["flips"] if each["task"] == "upper")
    assert (found["gained"], found["lost"], found["both_right"]) == (0, 0, 1)


def score_rows(run: Path) -> dict[tuple[str, str], dict[str, float]]:
    kept = read_json(run / "rows.json")
    rows = {name: [r["prompt"] for r in each["evaluation"]] for name, each in kept["tasks"].items()}
    return {
        (label, name): dict(zip(rows[name], said["scores"], strict=True))
        for label, by_seed in kept["scores"].items()
        for found in by_seed.values()
        for name, said in found.items()
    }


def test_flipped_examples_stand_there_with_prompt_and_replies(runs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "third"
    shutil.copytree(runs / "run", copy, ignore=shutil.ignore_patterns("steps", "model"))
    kept = read_json(copy / "rows.json")
    kept["scores"]["full"]["0"]["upper"] = {"scores": [1, 1, 1, 1], "replies": ["<b>right"] * 4}
    write_json(copy / "rows.json", kept)
    earlier = read_json(runs / "run" / "rows.json")["scores"]["full"]["0"]["upper"]["scores"]
    done = onsa("diff", runs / "run", copy, "--page", tmp_path / "page" / "d.html")
    assert done.code == 0
    assert f"{4 - sum(earlier):.0f} gained, 0 lost" in done.out
    assert done.out.count("gained: upper") == min(3, 4 - sum(earlier))
    page = (tmp_path / "page" / "d.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;right" in page
    assert "<b>right" not in page
    for heading in ("Data", "Scores on the same rows", "Examples that flipped", "Cost"):
        assert f"<h2>{heading}</h2>" in page
    assert "Settings that differ" not in page.split("Not in this run")[0].split("<h2>", 1)[1]


def test_all_kinds_of_folder(runs: Path, tiny_model: TinyModel) -> None:
    path = runs / "recipe.yaml"
    assert onsa("compare", path, "--methods", "base,full", "-q", "--seeds", 2,
                "--output", runs / "ways").code == 0  # fmt: skip
    assert onsa("eval", runs / "run", path, "-q", "--output", runs / "scored").code == 0
    done = onsa("diff", runs / "second", runs / "ways", "--json")
    facts = json.loads(done.out)
    assert ["base", "base"] in [each["labels"] for each in facts["pairs"]]
    assert all(each["kept"] for task in facts["data"] if (each := task["evaluation"]))
    facts = json.loads(onsa("diff", runs / "run", runs / "scored", "--json").out)
    assert facts["pairs"][0]["labels"][0] == "full"
    assert all(each["train"] is None for each in facts["data"])
    assert onsa("diff", runs / "ways", runs / "scored").code == 0


def test_runs_without_common_rows_say_so(runs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bare"
    shutil.copytree(runs / "run", copy, ignore=shutil.ignore_patterns("steps", "model"))
    kept = read_json(copy / "rows.json")
    for each in kept["tasks"].values():
        for row in each["evaluation"]:
            row["digest"] += "x"
    write_json(copy / "rows.json", kept)
    done = onsa("diff", runs / "run", copy)
    assert "Scores are not compared: no evaluation row is in both." in done.out
    (copy / "rows.json").unlink()
    done = onsa("diff", runs / "run", copy, "--page", tmp_path / "d.html")
    assert "bare did not keep its rows" in done.out
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "broken", ["", "[]", "{", '{"title": 3}', '{"tasks": {"a": 3}, "scores": {}}', "\x00"]
)
def test_broken_figures_are_one_line(runs: Path, tmp_path: Path, broken: str) -> None:
    for name in ("report.json", "rows.json"):
        copy = tmp_path / name
        shutil.copytree(runs / "run", copy, ignore=shutil.ignore_patterns("steps", "model"))
        (copy / name).write_text(broken)
        onsa("diff", runs / "run", copy).refused()
        onsa("diff", copy, runs / "run").refused()


def test_wrong_folders_are_one_line(runs: Path, tmp_path: Path) -> None:
    for words, said in (
        ((runs / "run", tmp_path), "holds no finished run"),
        ((runs / "run", tmp_path / "none"), "holds no finished run"),
        ((runs / "run", runs / "recipe.yaml"), "holds no finished run"),
        ((runs / "run", runs / "run"), "is named twice"),
        ((runs / "run",), "Missing argument"),
    ):
        assert said in onsa("diff", *words).refused(), words


def test_a_row_is_known_by_what_is_asked_and_what_is_right() -> None:
    """Red when the system message counts: another one would leave no row in common."""

    def row(question: str, reply: str, system: str = "") -> Example:
        opening = ({"role": "system", "content": system},) if system else ()
        turns = ({"role": "user", "content": question}, {"role": "assistant", "content": reply})
        return Example((*opening, *turns), source=f"{question}.jsonl")

    one, same, other, twice = row_digests(
        [row("a", "b"), row("c", "b"), row("a", "c"), row("a", "b", "Be brief.")]
    )
    assert twice == f"{one}.1"
    assert len({one, same, other, twice}) == 4


def test_inner_keys_by_their_path() -> None:
    recipe = {"tasks": [{"name": "a", "rows": 3}], "ranks": [1, 2], "rates": {"x": 1}, "empty": {}}
    assert flattened(recipe) == {
        "tasks.a.rows": 3, "ranks": [1, 2], "rates.x": 1, "empty": {},
    }  # fmt: skip
