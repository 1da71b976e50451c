"""`onsa eval`: any model on a recipe's tasks, scored as a run scores it, nothing written there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from onsa.files import read_json
from tests.command_line import onsa, task, write_recipe
from tests.conftest import write_rows

TinyModel = Callable[..., Path]
COLOURS = {"red": ["rose", "brick", "blood"], "green": ["grass", "leaf"], "blue": ["sky", "sea"]}


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def means(facts: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {
        each["label"]: {name: score["mean"] for name, score in each["scores"].items()}
        for each in facts["results"]
    }


@pytest.fixture(scope="module")
def lora(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe with a finished run of an adapter, `run`, and its base."""
    folder = tmp_path_factory.mktemp("lora")
    path = write_recipe(
        folder, tiny_model(), method="lora", max_steps=4, learning_rate=1e-2, seed=3,
        tasks=[task("echo", kind="loss", max_new_tokens=...), task("upper")],
    )  # fmt: skip
    assert onsa("tune", path, "-q").code == 0
    return folder


@pytest.fixture(scope="module")
def headed(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe with a finished run of two heads on a BERT, `run`."""
    folder = tmp_path_factory.mktemp("headed")
    path = write_recipe(
        folder, tiny_model("bert", is_decoder=False), max_steps=4, learning_rate=1e-2,
        tasks=[task("colour", kind="classify", max_new_tokens=...),
               task("length", kind="regress", max_new_tokens=...)],
    )  # fmt: skip
    things = [(thing, colour) for colour, known in COLOURS.items() for thing in known]
    write_rows(
        folder / "colour.jsonl",
        [{"prompt": f"{t} {n}", "completion": c} for n in range(6) for t, c in things],
    )
    write_rows(
        folder / "length.jsonl",
        [{"prompt": "a" * n + " word", "completion": f"{n / 2}"} for n in range(30)],
    )
    assert onsa("tune", path, "-q").code == 0
    return folder


def test_it_scores_a_base_and_an_adapter_as_their_run_did(
    lora: Path, tiny_model: TinyModel
) -> None:
    """Red when tasks are drawn otherwise, or an adapter is scored as its base."""
    before = files_in(lora / "run")
    done = onsa("eval", tiny_model(), lora / "run", lora / "recipe.yaml", "-q", "--json")
    facts = json.loads(done.out)
    told = read_json(lora / "run" / "report.json")
    found = means(facts)
    assert list(found) == ["model", "run"] or len(found) == 2
    for ours, theirs in zip(found.values(), means(told).values(), strict=True):
        assert ours == pytest.approx(theirs)
    assert [each["kind"] for each in facts["models"]] == ["model", "adapter for a model over model"]
    assert {(each["task"], each["p_value"]) for each in facts["flips"]} == {
        (each["task"], each["p_value"]) for each in told["flips"]
    }
    assert files_in(lora / "run") == before, "something was written into the run"
    page = (lora / "run-eval" / "eval.html").read_text(encoding="utf-8")
    for heading in ("Models", "All scores", "Examples that flipped", "Where it comes from"):
        assert f"<h2>{heading}</h2>" in page


def test_scored_rows_are_kept_and_asked_again_for_new_models_only(
    lora: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    path, place = lora / "recipe.yaml", ("--output", tmp_path / "kept")
    assert onsa("eval", tiny_model(), path, "--rows", 2, *place).code == 0
    again = onsa("eval", tiny_model(), lora / "run", path, "--rows", 2, *place)
    assert again.err.count("kept from before") == 1
    facts = read_json(tmp_path / "kept" / "eval.json")
    assert {score["n"] for each in facts["results"] for score in each["scores"].values()} == {2}


def test_tasks_are_all_that_a_recipe_needs(lora: Path, tiny_model: TinyModel) -> None:
    path = lora / "tasks.yaml"
    path.write_text(yaml.safe_dump({"tasks": [task("upper")], "precision": "float32"}))
    done = onsa("eval", tiny_model(), path, "-q")
    assert (done.code, done.err) == (0, "")
    assert "upper (exact match, higher is better)" in done.out
    assert (lora / "tasks-eval" / "eval.json").is_file()


def test_a_run_with_heads_is_scored_by_its_exported_classifiers(headed: Path) -> None:
    """Red when a label is taken by its number in the task, not by its name in the model."""
    told = means(read_json(headed / "run" / "report.json"))["full"]
    done = onsa("eval", headed / "run", headed / "recipe.yaml", "-q", "--json")
    found = means(json.loads(done.out))["run"]
    assert found["colour"] == told["colour"]
    assert found["length"] == pytest.approx(told["length"], abs=1e-4)
    turned = headed / "turned"
    shutil.copytree(headed / "run" / "model" / "colour", turned, dirs_exist_ok=True)
    _turn_labels(turned)
    done = onsa("eval", turned, headed / "recipe.yaml", "-q", "--json", "--output", headed / "t")
    facts = json.loads(done.out)
    assert means(facts)["turned"] == {"colour": told["colour"]}
    assert any("turned leaves out task length" in note for note in facts["notes"])


def _turn_labels(folder: Path) -> None:
    """The same classifier with its outputs, and their names, the other way round."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    turned = {
        name: each.flip(0).contiguous() if name.startswith("classifier.") else each
        for name, each in tensors.items()
    }
    save_file(turned, folder / "model.safetensors", metadata={"format": "pt"})
    config = read_json(folder / "config.json")
    labels = [config["id2label"][str(n)] for n in range(3)][::-1]
    config["id2label"] = dict(enumerate(labels))
    config["label2id"] = {label: n for n, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(config))


def test_a_model_with_all_its_heads_is_scored_too(headed: Path) -> None:
    weights = next((headed / "run" / "steps" / "full").glob("*/weights"))
    done = onsa("eval", weights, headed / "recipe.yaml", "-q", "--json", "--output", headed / "w")
    told = means(read_json(headed / "run" / "report.json"))["full"]
    assert means(json.loads(done.out))["weights"] == pytest.approx(told)


def test_an_adapter_for_a_classifier(headed: Path) -> None:
    keys = ("method=lora", f"output={headed / 'lora'}", "-q")
    assert onsa("tune", headed / "recipe.yaml", *keys).code == 0
    told = means(read_json(headed / "lora" / "report.json"))["lora"]
    done = onsa("eval", headed / "lora", headed / "recipe.yaml", "-q", "--json",
                "--output", headed / "l")  # fmt: skip
    (found,) = means(json.loads(done.out)).values()
    assert found == {"colour": told["colour"], "length": pytest.approx(told["length"], abs=1e-4)}


def test_losses_over_other_tokens_are_not_compared(lora: Path, tiny_model: TinyModel) -> None:
    """Red without `_incomparable`: two tokenizers cut a reply into other tokens."""
    other = lora / "other"
    shutil.copytree(tiny_model(), other)
    tokens = json.loads((other / "tokenizer.json").read_text())
    tokens["model"]["merges"] = tokens["model"]["merges"][:1]
    (other / "tokenizer.json").write_text(json.dumps(tokens))
    done = onsa("eval", other, tiny_model(), lora / "recipe.yaml", "-q", "--json",
                "--output", lora / "o")  # fmt: skip
    facts = json.loads(done.out)
    assert [each["task"] for each in facts["flips"]] == ["upper"]
    assert any("by other tokenizers" in note for note in facts["notes"])


def test_wrong_models_and_words_are_one_line(
    lora: Path, headed: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    path, heads = lora / "recipe.yaml", headed / "recipe.yaml"
    refused = {
        (path,): "no model",
        (tiny_model(),): "no recipe",
        (tiny_model(), tiny_model(), path): "stands there twice",
        ("nothere", path): "there is no such model",
        ("no/where", path): "the hub gave none",
        (tmp_path, path): "holds no model",
        (path.with_name("echo.jsonl"), path): "is a file",
        (tiny_model(), tmp_path / "no.yaml"): "cannot be read",
        (headed / "run" / "model" / "colour", path): "is a classifier",
        (tiny_model(), heads): "has no head for it",
        (tiny_model(), path, "prompts=true"): "models are asked as they are",
        (tiny_model(), path, "learning_rat=1"): "did you mean 'learning_rate'",
        (tiny_model(), path, "--output", tiny_model() / "x"): "inside a model",
        (tiny_model(), path, "--output", lora / "run"): "holds another run",
    }
    for words, said in refused.items():
        assert said in onsa("eval", *words, "-q").refused(), words


def test_broken_models_are_one_line(headed: Path, tiny_model: TinyModel, tmp_path: Path) -> None:
    recipe = headed / "recipe.yaml"

    def changed(name: str, source: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
        folder = tmp_path / name
        shutil.copytree(source, folder)
        config = read_json(folder / "config.json")
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    colour = headed / "run" / "model" / "colour"
    unnamed = {"id2label": {str(n): f"LABEL_{n}" for n in range(3)},
               "label2id": {f"LABEL_{n}": n for n in range(3)}}  # fmt: skip
    folder = changed("unnamed", colour, lambda config: config.update(unnamed))
    said = onsa("eval", folder, recipe, "-q", "--output", tmp_path / "e").refused()
    assert "its labels are 'LABEL_0'" in said
    assert "id2label" in said
    many = {"problem_type": "multi_label_classification"}
    folder = changed("many", colour, lambda config: config.update(many))
    assert "and the task for single_label" in onsa("eval", folder, recipe, "-q").refused()
    folder = changed("empty", colour, lambda config: None)
    (folder / "model.safetensors").unlink()
    assert "model.safetensors" in onsa("eval", folder, recipe, "-q").refused()
    folder = changed("dumb", colour, lambda config: None)
    for each in folder.glob("tokenizer*"):
        each.unlink()
    assert "holds no tokenizer" in onsa("eval", folder, recipe, "-q").refused()
    folder = changed("broken", colour, lambda config: None)
    (folder / "config.json").write_text("{")
    assert "not readable as JSON" in onsa("eval", folder, recipe, "-q").refused()
