"""A task that comes later: earlier cores held, their data gone, as often as one likes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onsa
from onsa.commands.add import add_by_recipe, add_tasks
from onsa.errors import InputError
from onsa.files import read_json
from onsa.state import load_state
from onsa.weights import Weights
from tests.conftest import write_rows

Keys = Callable[..., dict[str, Any]]


@pytest.fixture
def more(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """The recipe of one more task."""

    def recipe(name: str) -> dict[str, Any]:
        rows = [{"prompt": f"{name} {n}", "completion": f"{n}{name}"} for n in range(40)]
        path = write_rows(tmp_path / f"{name}.jsonl", rows)
        return {"tasks": [{"name": name, "train": str(path), "eval_rows": 8, "max_new_tokens": 4}]}

    return recipe


def test_pain_P1_a_task_is_added_twice_with_the_cores_held_and_the_data_gone(
    recipe: Keys, more: Callable[[str], dict[str, Any]], task_files: dict[str, Path]
) -> None:
    run = onsa.tune(**recipe(method="cpi_ft", core_share=0.05))
    for path in task_files.values():
        path.unlink()
    before = Weights(run / "model")
    add_by_recipe(run.folder, {**more("x"), "weight_decay": 0.1})
    add_by_recipe(run.folder, {**more("y"), "compare": False})
    state = load_state(run.folder)
    assert [task.name for task in state.tasks] == ["echo", "upper", "after", "x", "y"]
    assert list(state.cores) == ["echo", "upper", "after", "x", "y"]
    after = Weights(run / "model")
    for name in ("echo", "upper", "after"):
        core = state.cores[name]
        assert core.count > 0
        for tensor in core.shapes:
            here = core[tensor]
            assert (before[tensor][here] == after[tensor][here]).all(), (name, tensor)
    first, second = read_json(run / "report.json")["additions"]
    assert [row["label"] for row in first["results"]] == ["before", "held", "plain sequence"]
    assert [row["label"] for row in second["results"]] == ["before", "held"]
    assert set(first["results"][0]["scores"]) == {"echo", "upper", "after", "x"}
    assert second["held_entries"] > first["held_entries"] > 0
    held = [entry for entry in read_json(run / "report.json")["held"] if "add/" in entry["stage"]]
    assert [entry["changed"] for entry in held] == [0, 0]


def test_a_share_of_all_that_was_learned_is_held_when_asked_for(
    recipe: Keys, more: Callable[[str], dict[str, Any]]
) -> None:
    run = onsa.tune(**recipe(method="cpi_ft"))
    entries = load_state(run.folder).weights.entry_count
    add_by_recipe(run.folder, {**more("x"), "core_share": "80%", "compare": False})
    entry = read_json(run / "report.json")["additions"][0]
    assert entry["held_entries"] == int(0.8 * entries)
    assert list(load_state(run.folder).cores) == ["echo", "upper", "after", "x"]


@pytest.mark.parametrize("before", ["export", "write_report", "save_state"])
def test_an_added_run_goes_on_where_it_was_killed(
    recipe: Keys,
    more: Callable[[str], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    before: str,
) -> None:
    """The report tells of it once, however far the first time came. Goes red where
    `without_unfinished` hands the figures on as they are."""
    import onsa.commands.add as add

    run = onsa.tune(**recipe(method="full"))
    earlier = read_json(run / "report.json")

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(add, before, killed)
        with pytest.raises(KeyboardInterrupt):
            add_by_recipe(run.folder, more("x"))
    again = add_by_recipe(run.folder, more("x"))
    assert all(record.reused for record in again.history)
    assert load_state(run.folder).additions == 1
    told = read_json(run / "report.json")
    assert [entry["task"] for entry in told["additions"]] == [["x"]]
    assert [task["name"] for task in told["tasks"]] == ["echo", "upper", "after", "x"]
    names = [record.name for record in again.history]
    assert [step["name"] for step in told["steps"]] == [s["name"] for s in earlier["steps"]] + names


def test_replay_mixes_in_a_share_of_what_is_still_there(
    recipe: Keys, more: Callable[[str], dict[str, Any]], task_files: dict[str, Path]
) -> None:
    run = onsa.tune(**recipe(method="full"))
    done = add_by_recipe(run.folder, {**more("x"), "replay": 0.1, "compare": False})
    curve = next(r.facts["curve"] for r in done.history if r.name == "add/1/held")
    assert set(curve) == {"x", "echo", "upper", "after"}
    task_files["echo"].unlink()
    with pytest.raises(InputError, match="replay needs the earlier tasks' rows"):
        add_by_recipe(run.folder, {**more("y"), "replay": 0.1})


def test_a_model_that_onsa_did_not_tune_is_taken_with_its_base(
    recipe: Keys,
    more: Callable[[str], dict[str, Any]],
    tiny_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    import yaml

    tuned = onsa.tune(**recipe(method="full")) / "model"
    path = tmp_path / "more.yaml"
    path.write_text(yaml.safe_dump({**more("x"), "output": "adopted"}), encoding="utf-8")
    run = add_tasks(tuned, path, [], base=str(tiny_model()))
    assert run.folder == tmp_path / "adopted"
    assert load_state(run.folder).cores["earlier"].count > 0
    add_by_recipe(run.folder, more("y"))
    assert load_state(run.folder).additions == 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"method": "full"}, "'method' has no effect when tasks are added"),
        ({"tasks": [{"name": "Echo", "train": "x"}]}, "has a task 'Echo' already"),
        ({"core_sahre": 0.1}, "did you mean 'core_share'"),
        ({"hold": "everything"}, "'cores', 'random' or 'none'"),
    ],
)
def test_bad_additions_are_one_line(
    recipe: Keys, more: Callable[[str], dict[str, Any]], changes: dict[str, Any], line: str
) -> None:
    run = onsa.tune(**recipe(method="full"))
    with pytest.raises(InputError, match=line):
        add_by_recipe(run.folder, {**more("x"), **changes})
    assert load_state(run.folder).additions == 0
