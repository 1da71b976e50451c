"""Labels and tasks evened out: counted by hand, and never behind a person's back."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import write_rows
from hypothesis import given
from hypothesis import strategies as st

from onsa.commands.check import check_recipe
from onsa.commands.check_view import show
from onsa.commands.tune import tune
from onsa.data.balance import balanced, label_balance, label_counts, label_of, task_weights
from onsa.data.batches import plan_epochs, rows_by_task
from onsa.data.encoded import Encoded
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.files import read_json, write_text
from onsa.recipe.reading import build_recipe
from onsa.recipe.schema import Temperature
from onsa.settings import Settings
from onsa.tasks import load_task


def row(number: int, label: Any, **extra: Any) -> Example:
    turns = ({"role": "user", "content": f"text {number}"}, {"role": "assistant", "content": "x"})
    return Example(turns, {"label": label, **extra}, f"f:{number}")


def rows(**counts: int) -> list[Example]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [row(number, label) for number, label in enumerate(labels)]


# --- inside a task -----------------------------------------------------------------------------


def test_what_a_label_is() -> None:
    assert label_of(row(0, "good")) == "good"
    assert label_of(row(0, ["b", "a"])) == "a, b"
    bare = dataclasses.replace(row(0, ""), extra={})
    assert label_of(bare) == "x"
    assert label_counts([*rows(b=1, a=2), row(9, "b"), row(8, "b")]) == {"b": 3, "a": 2}
    assert label_counts([row(0, 1.5), row(1, 1.5)]) == {}
    texts = [
        dataclasses.replace(bare, messages=({"role": "assistant", "content": t},)) for t in "abc"
    ]
    assert label_counts(texts) == {}
    assert label_balance(rows(a=2, b=1), rows(c=1)) == {
        "a": {"train": 2, "evaluation": 0},
        "b": {"train": 1, "evaluation": 0},
        "c": {"train": 0, "evaluation": 1},
    }


def test_rarer_labels_are_repeated() -> None:
    made, said = balanced(rows(a=7, b=3), "oversample", 0)
    assert Counter(map(label_of, made)) == {"a": 7, "b": 7}
    times = Counter(example.source for example in made)
    assert all(times[f"f:{n}"] == 1 for n in range(7))
    assert sorted(times[f"f:{n}"] for n in (7, 8, 9)) == [2, 2, 3]
    assert said == "balance repeated rows up to 7 of each label (those of 'b' 2.33 times): " + (
        "14 of 10 rows"
    )


def test_more_frequent_labels_are_drawn_from() -> None:
    made, said = balanced(rows(a=7, b=3), "undersample", 0)
    assert Counter(map(label_of, made)) == {"a": 3, "b": 3}
    assert len({example.source for example in made}) == 6
    assert said == "balance drew 3 rows of each label, as many as 'b' has: 6 of 10 rows"


def test_weights_are_inverse_frequencies() -> None:
    # By hand: 10 rows / (2 labels x 8 rows) and 10 / (2 x 2).
    made, said = balanced(rows(a=8, b=2), "weights", 0)
    assert [example.weight for example in made] == [0.625] * 8 + [2.5] * 2
    assert sum(example.weight for example in made) == 10
    assert said == "balance weighs rows by their label, from 0.625 ('a') to 2.5 ('b')"
    heavier = [dataclasses.replace(example, weight=2.0) for example in rows(a=8, b=2)]
    assert balanced(heavier, "weights", 0)[0][0].weight == 1.25


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(0, 3))
def test_balance_adds_up(labels: list[int], seed: int) -> None:
    given_rows = [row(number, str(label)) for number, label in enumerate(labels)]
    if len(set(labels)) < 2:
        with pytest.raises(InputError, match="balance needs labels: all"):
            balanced(given_rows, "weights", seed)
        return
    counts = Counter(map(str, labels))
    for how, target in (
        ("oversample", max(counts.values())),
        ("undersample", min(counts.values())),
    ):
        made, _ = balanced(given_rows, how, seed)  # type: ignore[arg-type]
        assert Counter(map(label_of, made)) == dict.fromkeys(counts, target)
        assert {id(example) for example in made} <= {id(example) for example in given_rows}
        assert made == balanced(given_rows, how, seed)[0]  # type: ignore[arg-type]
    weighed, _ = balanced(given_rows, "weights", seed)
    assert sum(example.weight for example in weighed) == pytest.approx(len(labels))
    by_label = Counter[str]()
    for example in weighed:
        by_label[label_of(example)] += example.weight  # type: ignore[assignment]
    assert len({round(weight, 6) for weight in by_label.values()}) == 1


def test_other_seed_other_rows() -> None:
    many = rows(a=50, b=10)
    drawn = [balanced(many, "undersample", seed)[0] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_has_no_labels_is_refused() -> None:
    texts = [dataclasses.replace(row(n, ""), extra={}) for n in range(4)]
    texts = [
        dataclasses.replace(
            each, messages=(each.messages[0], {"role": "assistant", "content": f"{n}"})
        )
        for n, each in enumerate(texts)
    ]
    for faulty in (texts, [row(n, n / 2) for n in range(8)]):
        with pytest.raises(InputError, match="balance needs labels: the replies are numbers, or"):
            balanced(faulty, "oversample", 0)
    same, said = balanced(rows(a=2, b=2), "oversample", 0)
    assert same == rows(a=2, b=2)
    assert said == "balance has nothing to do: 2 labels of 2 rows"


def test_a_task_is_balanced_after_its_split(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "t.jsonl",
        [{"prompt": f"p{n}", "completion": "yes" if n % 5 else "no"} for n in range(100)],
    )
    keys = {"train": "t.jsonl", "eval_share": 0.2, "stratify": True}
    plain = load_task("t", "generate", keys, tmp_path, 0)
    for how, size in (("oversample", 128), ("undersample", 32), ("weights", 80)):
        task = load_task("t", "generate", {**keys, "balance": how}, tmp_path, 0)
        assert len(task.train) == size
        assert task.evaluation == plain.evaluation  # as it was: scores are of the world as it is
        assert task.notes[-1].startswith("balance ")
        assert task.digest != plain.digest
        assert not {e.source for e in task.train} & {e.source for e in task.evaluation}


# --- between tasks -----------------------------------------------------------------------------

SIZES = {"small": 100, "large": 10_000}
ONES = dict.fromkeys(SIZES, 1.0)


def rows_an_epoch(how: Any, **weights: float) -> dict[str, int]:
    found = task_weights(SIZES, {**ONES, **weights}, how)
    return {name: round(found[name] * SIZES[name]) for name in SIZES}


def test_weights_of_tasks_by_hand() -> None:
    assert rows_an_epoch("size") == SIZES
    assert rows_an_epoch("equal") == {"small": 5050, "large": 5050}
    # Square roots: 10 and 100 of 110 parts of 10 100 rows.
    assert rows_an_epoch(Temperature(temperature=2)) == {"small": 918, "large": 9182}
    # The limit makes 100 and 1 000 of 1 100 parts.
    assert rows_an_epoch(Temperature(temperature=1, limit=1000)) == {"small": 918, "large": 9182}
    # A task's own weight multiplies its share: 2 and 1 of 3 parts of 10 200 rows.
    assert rows_an_epoch("equal", small=2.0) == {"small": 6800, "large": 3400}
    assert rows_an_epoch("size", small=2.0) == {"small": 200, "large": 10_000}
    with pytest.raises(InputError, match="limit 10000 has no effect: the largest task has 10000"):
        rows_an_epoch(Temperature(temperature=2, limit=10_000))


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 10**6), min_size=1),
    st.floats(1, 1000),
)
def test_an_epoch_stays_as_long(sizes: dict[str, int], temperature: float) -> None:
    weights = dict.fromkeys(sizes, 1.0)
    for how in ("size", "equal", Temperature(temperature=temperature)):
        found = task_weights(sizes, weights, how)  # type: ignore[arg-type]
        assert sum(found[name] * sizes[name] for name in sizes) == pytest.approx(
            sum(sizes.values())
        )
        order = sorted(sizes, key=sizes.__getitem__)
        drawn = [found[name] * sizes[name] for name in order]
        assert drawn == sorted(drawn) or how == "equal"  # a larger task is never drawn less


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("equally", "'equally' is no balance of tasks; write size, equal or {temperature: 2}"),
        ({"temprature": 2}, "unknown key 'temprature'"),
        ({"temperature": 0.5}, "greater than or equal to 1"),
        ({"temperature": 2, "limit": 0}, "greater than or equal to 1"),
        (2, "2 is no balance of tasks"),
        (True, "task_balance"),
    ],
)
def test_bad_balances_are_one_line(value: Any, line: str) -> None:
    raw = {"model": "m", "output": "o", "tasks": {"a": {}, "b": {}}, "task_balance": value}
    with pytest.raises(InputError) as caught:
        build_recipe(raw, {"cpi_ft": Settings})
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_task_has_nothing_to_be_balanced_with() -> None:
    raw = {"model": "m", "output": "o", "tasks": {"a": {}}, "task_balance": "equal"}
    with pytest.raises(InputError, match="task_balance has no effect on one task"):
        build_recipe(raw, {"cpi_ft": Settings})


def test_the_plan_draws_what_was_said() -> None:
    corpus = {name: [Encoded([1, 2], [-100, 2])] * size for name, size in SIZES.items()}
    weights = task_weights(SIZES, ONES, Temperature(temperature=2))
    plan = plan_epochs(corpus, weights, 1.0, 8, 0)
    assert rows_by_task(plan) == {"small": 918, "large": 9182}


def test_pain_P2_mixing_is_no_secret(recipe: Any, tmp_path: Path, capsys: Any) -> None:
    """What each task gives to an epoch is said before, done, and said after.

    Goes red where `prepare.mixed` does not turn the balance into weights (the plan then draws 16
    and 52 rows), and where check or report leave the rows of an epoch out.
    """
    keys = recipe(method="full", task_balance="equal", eval_rows=8)
    for task, count in zip(keys["tasks"], (16, 52, 40), strict=True):
        task["train_rows"] = count
    path = tmp_path / "recipe.yaml"
    write_text(path, str(keys).replace("'", '"'))  # JSON, which is YAML
    facts = check_recipe(path, [f"output={keys['output']}"])
    assert [task["rows_per_epoch"] for task in facts["tasks"]] == [36, 36, 36]
    assert [task["weight"] for task in facts["tasks"]] == pytest.approx([36 / 16, 36 / 52, 36 / 40])
    show(facts)
    printed = capsys.readouterr().out
    assert re.search(r"echo +generate +16 +36 ", printed)
    assert "echo is scored on 8 rows, drawn by seed 0" in printed

    report = read_json(tune(**keys) / "report.json")
    assert [task["rows_per_epoch"] for task in report["tasks"]] == [36, 36, 36]
    assert report["curves"][0]["rows"] == {"echo": 36, "upper": 36, "after": 36}
    page = (Path(keys["output"]) / "report.html").read_text(encoding="utf-8")
    assert "rows drawn: " in page
    assert "echo</span> is scored on 8 rows, drawn by seed 0" in page
