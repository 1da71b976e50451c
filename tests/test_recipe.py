"""A recipe is either whole or one line that says what is wrong, where, and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from onsa.errors import InputError
from onsa.plain_yaml import load_yaml
from onsa.recipe.reading import build_recipe, read_raw
from onsa.recipe.schema import Recipe
from onsa.settings import Settings


class Mixing(Settings):
    trained_tokens: int | None = None


class Cores(Settings):
    core_share: float = Field(0.01, gt=0, lt=1)


METHODS = {"full": Mixing, "cpi_ft": Cores}
GOOD = {"model": "m", "output": "runs/x", "tasks": [{"name": "a", "train": "a.jsonl"}]}


def build(**changes: Any) -> Recipe:
    return build_recipe({**GOOD, **changes}, METHODS)


def test_a_flat_recipe_is_sorted_into_its_parts() -> None:
    recipe = build(core_share=0.05, learning_rate="2e-4", baselines=["full"])
    assert recipe.settings == {"core_share": 0.05}
    assert recipe.training.learning_rate == 2e-4
    assert recipe.tasks[0].options == {"train": "a.jsonl"}
    assert recipe.baselines[0].label == "full"


def test_tasks_may_be_a_mapping() -> None:
    assert [t.name for t in build(tasks={"a": {"train": "x"}, "b": {"train": "y"}}).tasks] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lerning_rate": 1}, "did you mean 'learning_rate'"),
        ({"method": "cpift"}, "did you mean 'cpi_ft'"),
        ({"method": "full", "core_share": 0.1}, "has no effect with method 'full'"),
        ({"tasks": []}, "no tasks"),
        ({"tasks": [{"train": "x"}]}, "a task without a name"),
        ({"tasks": [{"name": "a"}, {"name": "A"}]}, "two tasks are named"),
        ({"tasks": [{"name": "../../etc"}]}, "no '/'"),
        ({"core_share": 0}, "greater than 0"),
        ({"core_share": 1}, "less than 1"),
        ({"learning_rate": float("nan")}, "finite number"),
        ({"learning_rate": "fast"}, "valid number"),
        ({"baselines": ["full", "full"]}, "two are labelled 'full'"),
        ({"baselines": [{"method": "full", "core_share": 1}]}, "no effect with method 'full'"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_values_are_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        build(**changes)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model: a\nmodel: b\n", "the key 'model' stands twice"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: [1, 2\n", "line"),
        ("just text", "not a mapping"),
    ],
)
def test_bad_yaml_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_raw(path)
    assert line in str(caught.value)
    assert str(path) in str(caught.value)


def test_overrides_reach_into_tasks(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    raw = read_raw(path, ["learning_rate=3e-4", "tasks.a.train=b.jsonl", "core_share=0.2"])
    recipe = build_recipe(raw, METHODS)
    assert recipe.training.learning_rate == 3e-4
    assert recipe.tasks[0].options["train"] == "b.jsonl"
    with pytest.raises(InputError, match=r"no 'tasks\.z'"):
        read_raw(path, ["tasks.z.train=b.jsonl"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from([*Recipe.model_fields, "learning_rate", "core_share", "x"])


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_hostile_mappings_give_a_recipe_or_one_line(changes: dict[str, Any]) -> None:
    try:
        build(**changes)
    except InputError as fault:
        assert "\n" not in str(fault)


@given(st.text() | st.binary())
def test_hostile_yaml_gives_a_value_or_one_line(content: str | bytes) -> None:
    try:
        load_yaml(content, "recipe.yaml")
    except InputError as fault:
        assert "\n" not in str(fault)


def test_of_keys_for_one_thing_the_command_line_s_count(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("num_train_epochs: 2\nsave_minutes: 5\nmodel: m\n", encoding="utf-8")
    assert read_raw(path, ["trained_tokens=100"]) == {
        "trained_tokens": 100,
        "save_minutes": 5,
        "model": "m",
    }
    assert "num_train_epochs" not in read_raw(path, ["max_steps=3"])
    assert "save_minutes" not in read_raw(path, ["save_steps=3"])
    assert read_raw(path, ["seed=1"])["num_train_epochs"] == 2
