"""Tasks that come later, where they or the earlier ones have heads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import write_rows
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

import onsa
import onsa.commands.add as adding
from onsa.commands.add import add_by_recipe
from onsa.errors import InputError
from onsa.files import read_json, write_json
from onsa.masks import ParameterMask
from onsa.metrics.intervals import bootstrap_intervals
from onsa.models.head import Head
from onsa.models.head_names import owner_of, parameter_prefix
from onsa.state import FILE, load_state
from onsa.weights import Weights
from tests.breaking_off import break_off_at

COLOURS = {"rose": "red", "brick": "red", "grass": "green", "leaf": "green", "sky": "blue"}
Task = dict[str, Any]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report's intervals would take longer than the trainings."""
    monkeypatch.setitem(bootstrap_intervals.__kwdefaults__, "resamples", 20)


@pytest.fixture
def colour(tmp_path: Path) -> Task:
    rows = [
        {"text": f"{thing} {n}", "label": COLOURS[thing]} for n in range(5) for thing in COLOURS
    ]
    path = write_rows(tmp_path / "colour.jsonl", rows)
    return {"name": "colour", "kind": "classify", "train": str(path), "eval_rows": 6}


@pytest.fixture
def length(tmp_path: Path) -> Task:
    rows = [{"text": "a" * n + " word", "label": n / 2} for n in range(24)]
    path = write_rows(tmp_path / "length.jsonl", rows)
    return {"name": "length.a", "kind": "regress", "train": str(path), "eval_rows": 6}


@pytest.fixture
def same(tmp_path: Path) -> Task:
    rows = [
        {"sentence1": one, "sentence2": other, "label": str(COLOURS[one] == COLOURS[other])}
        for one in COLOURS
        for other in COLOURS
    ]
    path = write_rows(tmp_path / "same.jsonl", rows)
    return {"name": "same", "kind": "pair", "train": str(path), "eval_rows": 6}


@pytest.fixture
def echo(task_files: dict[str, Path]) -> Task:
    path = str(task_files["echo"])
    return {"name": "echo", "train": path, "train_rows": 24, "eval_rows": 4, "max_new_tokens": 3}


@pytest.fixture
def keys(tiny_model: Callable[..., Path], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(architecture: str, *tasks: Task, **changes: Any) -> dict[str, Any]:
        own = {"is_decoder": False} if architecture == "bert" else {}
        return {
            "model": str(tiny_model(architecture, **own)),
            "output": str(tmp_path / "run"),
            "tasks": list(tasks),
            "method": "full",
            "learning_rate": 3e-3,
            "num_train_epochs": 1,
            "precision": "float32",
            "weight_decay": 0.1,
            **changes,
        }

    return make


def head_in(folder: Path, task: str) -> dict[str, torch.Tensor]:
    weights, own = Weights(folder), parameter_prefix(task)
    return {name: weights[name] for name in weights.names if name.startswith(own)}


def require_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def classifier(folder: Path) -> Any:
    model, told = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    return model


def means(run: Any, number: int = 0) -> dict[str, dict[str, float]]:
    """label -> task -> mean score of an addition."""
    entry = read_json(run.folder / "report.json")["additions"][number]
    return {
        row["label"]: {task: found["mean"] for task, found in row["scores"].items()}
        for row in entry["results"]
    }


def test_pain_P1_finished_heads_stay_bit_for_bit_and_old_tasks_are_scored_with_them(
    keys: Any, colour: Task, length: Task, same: Task
) -> None:
    """Red when `held_heads` is not given to the training: replay and weight decay move them."""
    run = onsa.tune(**keys("bert", colour, num_train_epochs=3))
    ended = read_json(run / "report.json")["results"][-1]["scores"]["colour"]["mean"]
    before = head_in(load_state(run.folder).weights.folder, "colour")
    plain = classifier(run / "model")
    first = add_by_recipe(run.folder, {"tasks": [length], "replay": 0.5})
    assert means(first)["before"]["colour"] == ended
    assert list(means(first)) == ["before", "held", "plain sequence"]
    add_by_recipe(run.folder, {"tasks": [same], "replay": 0.5, "compare": False})
    state = load_state(run.folder)
    assert [task.name for task in state.tasks] == ["colour", "length.a", "same"]
    require_equal(before, head_in(state.weights.folder, "colour"))
    now = classifier(run / "model" / "colour")
    assert torch.equal(now.classifier.weight, plain.classifier.weight)
    assert not torch.equal(now.bert.pooler.dense.weight, plain.bert.pooler.dense.weight)
    assert now.config.id2label == {0: "blue", 1: "green", 2: "red"}
    assert classifier(run / "model" / "length.a").config.problem_type == "regression"
    assert classifier(run / "model" / "same").config.id2label == {0: "False", 1: "True"}
    facts = read_json(run / "report.json")
    proofs = [each for each in facts["held"] if each["rule"] == "heads of earlier tasks"]
    assert [each["tasks"] for each in proofs] == [["colour"], ["colour", "length.a"]]
    assert all(each["changed"] == 0 and each["entries"] > 0 for each in proofs)
    assert [each["held_heads"] for each in facts["additions"]] == [
        ["colour"],
        ["colour", "length.a"],
    ]
    assert "Heads that stayed as they were:" in (run / "report.html").read_text(encoding="utf-8")


def test_new_heads_have_moved_and_cores_are_held(keys: Any, colour: Task, length: Task) -> None:
    run = onsa.tune(**keys("bert", colour, length, method="cpi_ft", core_share=0.05))
    before = load_state(run.folder)
    third = {**colour, "name": "hue"}
    done = add_by_recipe(run.folder, {"tasks": [third], "compare": False})
    state = load_state(run.folder)
    for task in ("colour", "length.a"):
        require_equal(head_in(before.weights.folder, task), head_in(state.weights.folder, task))
        for name in before.weights.float_shapes:
            here = before.cores[task][name]
            assert torch.equal(before.weights[name][here], state.weights[name][here])
            assert torch.equal(state.cores[task][name], here)
    start = head_in(
        next(r.folder for r in done.history if r.name == "add/1/start") / "weights", "hue"
    )
    end = head_in(state.weights.folder, "hue")
    assert all(not torch.equal(start[name], end[name]) for name in start)
    assert not any(owner_of(name) for name, n in state.cores["hue"].count_by_name().items() if n)


@pytest.mark.parametrize("hold", ["cores", "random"])
def test_a_run_of_replies_gets_a_head(hold: str, keys: Any, colour: Task, echo: Task) -> None:
    run = onsa.tune(**keys("llama", echo))
    model = Weights(run / "model")
    before = {name: model[name] for name in model.names}
    add_by_recipe(run.folder, {"tasks": [colour], "hold": hold})
    held = next(r for r in read_json(run / "report.json")["held"] if "add/" in r["stage"])
    assert held["changed"] == 0
    assert held["entries"] > 0
    _, told = AutoModelForCausalLM.from_pretrained(
        run / "model" / "language_model", output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    after = Weights(run / "model" / "language_model")
    assert set(after.names) == set(before)
    assert classifier(run / "model" / "colour").config.id2label[0] == "blue"
    state = load_state(run.folder)
    if hold == "cores":
        for name in before:
            here = state.cores["earlier"][name]
            assert torch.equal(before[name][here], after[name][here]), name


def test_a_run_of_heads_gets_replies(keys: Any, colour: Task, echo: Task, length: Task) -> None:
    """The backbone is inside of a language model afterwards: cores go by other names."""
    origin = keys("mistral")["model"]  # whose embeddings are not tied
    run = onsa.tune(**keys("mistral", colour, method="cpi_ft", core_share=0.05))
    before = load_state(run.folder)
    assert "layers.0.mlp.up_proj.weight" in before.weights.names
    done = add_by_recipe(run.folder, {"tasks": [echo], "compare": False})
    start = Weights(next(r.folder for r in done.history if r.name == "add/1/start") / "weights")
    assert torch.equal(start["lm_head.weight"], Weights(origin)["lm_head.weight"])
    state = load_state(run.folder)
    for name in before.weights.names:
        own = name if owner_of(name) else f"model.{name}"
        assert torch.equal(start[own], before.weights[name])
        here = before.cores["colour"][name]
        assert torch.equal(state.cores["colour"][own], here)
        assert torch.equal(before.weights[name][here], state.weights[own][here])
    assert set(means(done)["held"]) == {"colour", "echo"}
    AutoModelForCausalLM.from_pretrained(run / "model" / "language_model")
    classifier(run / "model" / "colour")
    add_by_recipe(run.folder, {"tasks": [length], "core_share": "50%", "compare": False})
    assert sorted(path.name for path in (run / "model").glob("*/")) == [
        "colour", "language_model", "length.a",
    ]  # fmt: skip


def test_what_cannot_work_says_why(keys: Any, colour: Task, echo: Task, length: Task) -> None:
    run = onsa.tune(**keys("bert", colour, num_train_epochs=0.1))
    with pytest.raises(InputError, match="is a bert, which sees the words after a word"):
        add_by_recipe(run.folder, {"tasks": [echo]})
    with pytest.raises(InputError, match="packing has no effect on the heads"):
        add_by_recipe(run.folder, {"tasks": [length], "packing": True})
    state = read_json(run / FILE)
    state["tasks"][0]["head"]["labels"].reverse()
    write_json(run / FILE, state)
    with pytest.raises(InputError, match="'colour' has another head than the model"):
        add_by_recipe(run.folder, {"tasks": [length]})
    for method, line in (("lora", "is an adapter"), ("single", "is one model for each task")):
        output = str(run.folder.with_name(method))
        other = onsa.tune(
            **keys("bert", colour, method=method, output=output, num_train_epochs=0.1)
        )
        with pytest.raises(InputError, match=f"its result {line}"):
            add_by_recipe(other.folder, {"tasks": [length]})


def test_replayed_rows_have_the_labels_that_the_head_has_learned(
    keys: Any, colour: Task, length: Task, tmp_path: Path
) -> None:
    """A draw without 'blue' would number the other labels anew; one with 'pink' has no output."""
    run = onsa.tune(**keys("bert", colour, num_train_epochs=0.1))
    state = load_state(run.folder)
    rows = [{"text": f"leaf {n}", "label": "green"} for n in range(20)]
    rows += [{"text": f"rose {n}", "label": "red"} for n in range(20)]
    path = write_rows(tmp_path / "colour.jsonl", rows)
    settings = adding.Addition(replay=0.5)
    (task,) = adding._replayed(run, state, settings, [])
    assert (
        task.head
        == state.tasks[0].head
        == Head("single_label_classification", ("blue", "green", "red"))
    )
    assert {row.target for row in task.train if row.reply == "green"} == {1}
    assert {row.target for row in task.train if row.reply == "red"} == {2}
    path.write_text(path.read_text() + json.dumps({"text": "lip", "label": "pink"}) + "\n")
    with pytest.raises(InputError, match="replay needs the earlier tasks' rows: the label 'pink'"):
        add_by_recipe(run.folder, {"tasks": [length], "replay": 0.5})


def test_an_addition_with_heads_goes_on_where_it_was_killed(
    keys: Any, colour: Task, length: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = onsa.tune(**keys("bert", colour, num_train_epochs=0.1)).folder

    def added(name: str, **more: Any) -> Any:
        folder = tmp_path / name
        if not folder.exists():
            shutil.copytree(first, folder)
        recipe = {"tasks": [length], "compare": False, "replay": 0.5, "num_train_epochs": 1}
        return add_by_recipe(folder, {**recipe, "per_device_train_batch_size": 4, **more})

    calm = added("calm")
    break_off_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        added("stormy", save_steps=2)
    assert load_state(tmp_path / "stormy").additions == 0
    stormy = added("stormy", save_steps=2)
    for task in ("colour", "length.a"):
        one, other = (
            (run / "model" / task / "model.safetensors").read_bytes() for run in (calm, stormy)
        )
        assert one == other


def test_an_encoder_that_somebody_else_tuned_is_taken_with_its_base(
    keys: Any, tiny_model: Any, colour: Task, length: Task, echo: Task, tmp_path: Path
) -> None:
    base = tiny_model("bert", is_decoder=False)
    tuned = tiny_model("bert", is_decoder=False, initializer_range=0.021)
    path = tmp_path / "more.yaml"
    path.write_text(yaml.safe_dump({"tasks": [echo], "output": "adopted"}), encoding="utf-8")
    with pytest.raises(InputError, match="is a bert, which sees the words after a word"):
        adding.add_tasks(tuned, path, [], base=str(base))
    assert not (tmp_path / "adopted").exists()
    path.write_text(yaml.safe_dump({"tasks": [colour], "output": "adopted"}), encoding="utf-8")
    run = adding.add_tasks(tuned, path, [], base=str(base))
    classifier(run / "model")
    assert load_state(run.folder).cores["earlier"].count > 0
    add_by_recipe(run.folder, {"tasks": [length], "compare": False})
    assert [task.name for task in load_state(run.folder).tasks] == ["colour", "length.a"]


def test_a_model_of_ours_brings_its_head_along(
    keys: Any, colour: Task, length: Task, tmp_path: Path
) -> None:
    first = onsa.tune(**keys("bert", colour, length, num_train_epochs=4))
    ended = read_json(first / "report.json")["results"][-1]["scores"]
    learned = load_state(first.folder).weights.folder
    for task in (colour, length):
        own = keys("bert", task, output=str(tmp_path / task["name"]), num_train_epochs=0.1)
        run = onsa.tune(**{**own, "model": str(first / "model" / task["name"])})
        require_equal(head_in(run.base.folder, task["name"]), head_in(learned, task["name"]))
        facts = read_json(run / "report.json")
        begin = facts["results"][0]["scores"][task["name"]]
        assert begin["mean"] == pytest.approx(ended[task["name"]]["mean"])
        note = f"task {task['name']}: it goes on with the head that the model has for it"
        assert facts["notes"] == [note]
    copy_tokenizer(first / "model" / "colour", learned)  # which carries heads by the tasks' names
    both = keys("bert", colour, length, output=str(tmp_path / "both"), num_train_epochs=0.1)
    run = onsa.tune(**{**both, "model": str(learned)})
    for name in ("colour", "length.a"):
        require_equal(head_in(run.base.folder, name), head_in(learned, name))


def copy_tokenizer(source: Path, target: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, target / name)


def test_a_head_of_other_labels_is_not_taken_over(keys: Any, colour: Task, tmp_path: Path) -> None:
    """The same name and as many labels: their meaning counts."""
    first = onsa.tune(**keys("bert", colour, num_train_epochs=0.1))
    rows = [{"text": f"{n} {label}", "label": label} for label in ("x", "y", "z") for n in range(9)]
    other = {**colour, "train": str(write_rows(tmp_path / "letters.jsonl", rows))}
    own = keys("bert", other, output=str(tmp_path / "other"), num_train_epochs=0.1)
    run = onsa.tune(**{**own, "model": str(first / "model")})
    note = read_json(run / "report.json")["notes"][0]
    assert note.startswith("task colour: the model's own head for it says something else (blue, ")
    kept = head_in(load_state(first.folder).weights.folder, "colour")
    now = head_in(run.base.folder, "colour")
    assert not any(torch.equal(kept[name], now[name]) for name in kept if "weight" in name)
    whole = load_state(first.folder).weights.folder
    copy_tokenizer(first / "model", whole)
    with pytest.raises(InputError, match="has another head by that name"):
        onsa.tune(**{**own, "model": str(whole), "output": str(tmp_path / "third")})


def test_entries_of_a_mask_in_another_model() -> None:
    mask = ParameterMask.of({"a": torch.tensor([True, False, True])})
    moved = mask.moved({"model.a": (3,), "new": (10,)}, {"model.a": "a"})
    assert moved["model.a"].tolist() == [True, False, True]
    assert moved.count == 2
