"""Splits: no row, group or twin on both sides, whatever the way; counts that add up; one seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import write_rows
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.balance import label_of
from onsa.data.example import Example
from onsa.data.overlap import prompt_key, row_of, together
from onsa.data.split import Fold, sample_rows, split, split_fold, split_last, split_rows
from onsa.errors import InputError
from onsa.recipe.reading import read_raw
from onsa.tasks import Task, all_kinds, load_task
from tests.shared_data import SHARED, needs_shared_data

WAYS: dict[str, Callable[[list[Example], int], tuple[list[Example], ...]]] = {
    "share": lambda rows, seed: split(rows, 0.25, seed),
    "stratified": lambda rows, seed: split(rows, 0.25, seed, stratify=True),
    "rows": lambda rows, seed: split(rows, 3, seed),
    "last": lambda rows, seed: split_last(rows, 0.25),
    "fold": lambda rows, seed: split_fold(rows, Fold(2, 3), seed),
    "stratified fold": lambda rows, seed: split_fold(rows, Fold(1, 3), seed, stratify=True),
}


def row(number: int, prompt: str = "", label: str = "x", group: str = "") -> Example:
    turns = (
        {"role": "user", "content": prompt or f"prompt {number}"},
        {"role": "assistant", "content": label},
    )
    return Example(turns, source=f"f:{number}", group=group)


def labelled(*labels: str) -> list[Example]:
    return [row(number, label=label) for number, label in enumerate(labels)]


# --- what every way keeps ----------------------------------------------------------------------

SPECS = st.lists(
    st.tuples(st.integers(0, 25), st.sampled_from("abc"), st.sampled_from(["", "", "g", "h", "i"])),
    min_size=2,
    max_size=40,
)


@pytest.mark.parametrize("way", WAYS)
@given(specs=SPECS, seed=st.integers(0, 3))
def test_nothing_is_on_both_sides_and_nothing_is_lost(way: str, specs: Any, seed: int) -> None:
    rows = [row(n, f"p {p}", label, group) for n, (p, label, group) in enumerate(specs)]
    try:
        train, evaluation, *rest = WAYS[way](rows, seed)
    except InputError as fault:
        assert "\n" not in str(fault)
        return
    left_out = rest[0] if rest else []
    assert train
    assert evaluation
    sources = [example.source for example in (*train, *evaluation, *left_out)]
    assert sorted(sources) == sorted(example.source for example in rows)
    assert not {prompt_key(each) for each in train} & {prompt_key(each) for each in evaluation}
    groups = [{each.group for each in side} - {""} for side in (train, evaluation)]
    assert not groups[0] & groups[1]
    assert WAYS[way](rows, seed)[:2] == (train, evaluation)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "last"])
def test_another_seed_draws_other_rows(way: str) -> None:
    rows = [row(number) for number in range(60)]
    assert WAYS[way](rows, 0)[1] != WAYS[way](rows, 1)[1]


def test_what_stays_together() -> None:
    rows = [
        row(0, "Say: one"),
        row(1, "two"),
        row(2, "say one!"),  # punctuation and case apart, the first
        row(3, "three", group="g"),
        row(4, "four", group="g"),
        row(5, "ＴＷＯ"),  # full width
        row(6, "..."),
        row(7, "!!!"),  # nothing but punctuation: no twins
    ]
    made = Example(row(8, "five").messages, {"parent": "f:7"}, "f:7 + swap")
    assert together([*rows, made]) == [[0, 2], [1, 5], [3, 4], [6], [7, 8]]
    assert row_of(made) == "f:7"


# --- by label ----------------------------------------------------------------------------------


def test_each_label_has_its_share() -> None:
    rows = labelled(*"a" * 60, *"b" * 30, *"c" * 10)
    train, evaluation = split(rows, 0.1, 0, stratify=True)
    assert Counter(map(label_of, evaluation)) == {"a": 6, "b": 3, "c": 1}
    assert Counter(map(label_of, train)) == {"a": 54, "b": 27, "c": 9}


def test_what_does_not_come_out_even_goes_to_the_largest_remainders() -> None:
    # 5 rows of 7: 5 x 4/7 = 2.86, 5 x 2/7 = 1.43, 5 x 1/7 = 0.71.
    _, evaluation = split(labelled(*"aaaabbc"), 5, 0, stratify=True)
    assert Counter(map(label_of, evaluation)) == {"a": 3, "b": 1, "c": 1}


@given(st.lists(st.sampled_from("aaab"), min_size=4, max_size=60), st.integers(0, 3))
def test_labels_are_within_one_row_of_their_share(labels: list[str], seed: int) -> None:
    rows = labelled(*labels)
    _, evaluation = split(rows, 0.5, seed, stratify=True)
    found = Counter(map(label_of, evaluation))
    for label, count in Counter(labels).items():
        assert abs(found[label] - len(evaluation) * count / len(rows)) < 1


# --- folds -------------------------------------------------------------------------------------


@given(specs=SPECS, folds=st.integers(2, 6), seed=st.integers(0, 2), stratify=st.booleans())
def test_folds_are_disjoint_and_cover_all_rows(
    specs: Any, folds: int, seed: int, stratify: bool
) -> None:
    rows = [row(n, f"p {p}", label, group) for n, (p, label, group) in enumerate(specs)]
    try:
        sides = [
            split_fold(rows, Fold(number, folds), seed, stratify=stratify)
            for number in range(1, folds + 1)
        ]
    except InputError as fault:
        assert "too few for" in str(fault)
        return
    evaluated = Counter(example.source for _, evaluation in sides for example in evaluation)
    assert evaluated == {example.source: 1 for example in rows}
    for train, evaluation in sides:
        assert len(train) + len(evaluation) == len(rows)
        assert not {example.source for example in train} & {e.source for e in evaluation}


def test_folds_are_as_equal_as_can_be() -> None:
    rows = labelled(*"a" * 31, *"b" * 9)
    sides = [split_fold(rows, Fold(n, 4), 0, stratify=True)[1] for n in (1, 2, 3, 4)]
    assert [len(side) for side in sides] == [10, 10, 10, 10]
    counts = [Counter(map(label_of, side)) for side in sides]
    assert sorted(count["a"] for count in counts) == [7, 8, 8, 8]
    assert sorted(count["b"] for count in counts) == [2, 2, 2, 3]


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "2/", "a/b", "-1/5", "1/101", "²/5"])
def test_what_is_no_fold(text: str) -> None:
    with pytest.raises(InputError, match="is no fold; write 2/5"):
        Fold.read(text)


def test_a_fold_is_named_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("tasks: {a: {train: x}}\n", encoding="utf-8")
    assert read_raw(path, ["tasks.a.fold=2/5"])["tasks"]["a"]["fold"] == "2/5"


# --- in order ----------------------------------------------------------------------------------


def test_the_last_rows_are_scored_on_and_their_twins_left_out() -> None:
    rows = [row(n) for n in range(10)]
    rows[2] = row(2, "prompt 9")
    rows[5] = row(5, group="g")
    rows[8] = row(8, group="g")
    train, evaluation, left_out = split_last(rows, 0.2)
    assert [example.source for example in evaluation] == ["f:8", "f:9"]
    assert [example.source for example in left_out] == ["f:2", "f:5"]
    assert [example.source for example in train] == ["f:0", "f:1", "f:3", "f:4", "f:6", "f:7"]
    with pytest.raises(InputError, match="cannot be split: too many have the same prompt"):
        split_last([row(0, "p"), row(1, "p")], 1)


# --- inside the training rows ------------------------------------------------------------------


def test_rows_kept_out_have_no_copy_among_the_others() -> None:
    rows = [row(n) for n in range(40)]
    made = [
        Example(row(n + 100).messages, {"parent": f"f:{n}"}, f"f:{n} + swap") for n in range(40)
    ]
    settings = all_kinds()["generate"].settings(train="x")
    task = Task("t", "generate", settings, (*rows, *made), (rows[0],))
    rest, kept = split_rows(task, 6, 0)
    assert kept is not None
    assert len(kept.evaluation) == 6
    assert len(rest.train) == 74
    assert not {row_of(e) for e in rest.train} & {row_of(e) for e in kept.evaluation}
    assert len(sample_rows(task, 0.25, 0).train) == 20
    assert split_rows(task, 0, 0) == (task, None)


# --- in a recipe -------------------------------------------------------------------------------


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A hundred rows, every fifth labelled otherwise, two to a hotel."""
    rows = [
        {"text": f"text {n}", "label": "no" if n % 5 == 0 else "yes", "hotel": f"h{n // 2}"}
        for n in range(100)
    ]
    return write_rows(tmp_path / "reviews.jsonl", rows)


def load(path: Path, **options: Any) -> Task:
    columns = {"prompt": "text", "reply": "label"}
    keys = {"train": path.name, "columns": columns, **options}
    return load_task("t", "generate", keys, path.parent, options.pop("seed", 0))


@pytest.mark.parametrize(
    ("options", "rows", "said"),
    [
        ({}, (90, 10), "0.1 of the rows, drawn by seed 0"),
        ({"eval_rows": 7}, (93, 7), "7 rows, drawn by seed 0"),
        ({"fold": "2/5"}, (80, 20), "fold 2 of 5, by seed 0"),
        ({"split": "last", "eval_rows": 20}, (80, 20), "the last 20 rows"),
        (
            {"split": "last", "eval_rows": 19, "group": "hotel"},
            (80, 19),
            "the last 19 rows; left out are 1 of the earlier ones, which belong together with one "
            "of them: reviews.jsonl:81; 40 groups of 'hotel' train, 10 are scored on",
        ),
        (
            {"stratify": True, "fold": "1/4"},
            (75, 25),
            "fold 1 of 4, by seed 0, of each label its share",
        ),
        (
            {"group": "hotel", "eval_share": 0.2},
            (80, 20),
            "0.2 of the rows, drawn by seed 0; 40 groups of 'hotel' train, 10 are scored on",
        ),
    ],
)
def test_a_split_is_told(
    reviews: Path, options: dict[str, Any], rows: tuple[int, int], said: str
) -> None:
    task = load(reviews, **options)
    assert (len(task.train), len(task.evaluation)) == rows
    assert task.split == said


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"eval": "reviews.jsonl", "fold": "1/5"}, "fold has no effect with eval: take it out"),
        ({"eval": "reviews.jsonl", "stratify": True}, "stratify has no effect with eval"),
        ({"eval": "reviews.jsonl", "split": "last"}, "split has no effect with eval"),
        ({"fold": "1/5", "eval_rows": 5}, "fold and eval_rows are two answers: keep one"),
        ({"fold": "1/5", "split": "last"}, "fold and split are two answers"),
        ({"split": "last", "stratify": True}, "split and stratify are two answers"),
        ({"fold": "6/5"}, "'6/5' is no fold; write 2/5 for the second of five"),
        ({"fold": "1/90", "group": "hotel"}, "are 50 groups that stay together, too few for 90"),
        ({"group": "hotels"}, "there is no column 'hotels' to group by, only the columns text,"),
        (
            {"columns": {"prompt": "label", "reply": "text"}, "stratify": True},
            "stratify needs labels",
        ),
        ({"split": "first"}, "should be 'random' or 'last'"),
    ],
)
def test_keys_without_an_effect_are_refused(
    reviews: Path, options: dict[str, Any], line: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(reviews, **options)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_are_those_of_the_whole_training_file(tmp_path: Path) -> None:
    """Goes red when they are those of the drawn rows alone: the others would be refused."""
    rows = [{"text": f"text {n}", "label": f"l{n % 40}"} for n in range(200)]
    path = write_rows(tmp_path / "rows.jsonl", [*rows, {"text": "once", "label": "rare"}])
    write_rows(tmp_path / "eval.jsonl", [{"text": "new", "label": "l39"}])
    keys = {"train": path.name, "eval": "eval.jsonl", "train_rows": 20}
    task = load_task("t", "classify", keys, tmp_path, 0)
    assert task.head is not None
    assert len(task.head.labels) == 41
    assert len(task.train) == 20
    trained = {example.extra["label"] for example in task.train}
    assert len(task.notes) == 1
    assert task.notes[0].startswith(f"{41 - len(trained)} of 41 labels have no training row: l")
    task = load_task("t", "classify", {"train": path.name, "split": "last"}, tmp_path, 0)
    assert task.notes == ("1 of 41 labels have no training row: rare",)
    write_rows(tmp_path / "eval.jsonl", [{"text": "new", "label": "l99"}])
    with pytest.raises(InputError, match="or list all with 'labels: "):
        load_task("t", "classify", keys, tmp_path, 0)


def test_groups_in_two_files(reviews: Path) -> None:
    rows = [{"text": f"new {n}", "label": "yes", "hotel": f"h{n}"} for n in (3, 4, 300)]
    write_rows(reviews.parent / "eval.jsonl", rows)
    with pytest.raises(InputError, match="2 groups of 'hotel' stand on both sides; set 'drop_over"):
        load(reviews, eval="eval.jsonl", group="hotel")
    task = load(reviews, eval="eval.jsonl", group="hotel", drop_overlap=True)
    assert len(task.train) == 96
    assert task.notes == ("4 training rows left out: evaluation rows too",)
    assert len(load(reviews, eval="eval.jsonl").train) == 100


@needs_shared_data
def test_passages_of_logiqa_stay_on_one_side() -> None:
    keys = {"train": "logiqa2/dev.txt", "group": "text"}
    for way in ({"fold": "1/5"}, {"fold": "1/5", "stratify": True}, {"split": "last"}, {}):
        task = load_task("t", "choose", {**keys, **way}, SHARED, 0)
        assert not {e.group for e in task.train} & {e.group for e in task.evaluation}
    with pytest.raises(InputError, match="43 groups of 'text' stand on both sides"):
        load_task("t", "choose", {**keys, "eval": "logiqa2/test.txt"}, SHARED, 0)


@needs_shared_data
def test_the_77_labels_of_banking_are_on_both_sides() -> None:
    columns = {"prompt": "text", "reply": "category"}
    keys = {"train": "banking77/train.csv", "columns": columns, "stratify": True}
    task = load_task("t", "generate", keys, SHARED, 0)
    train, evaluation = (Counter(map(label_of, rows)) for rows in (task.train, task.evaluation))
    assert len(train) == len(evaluation) == 77
    assert all(
        abs(evaluation[label] - (train[label] + evaluation[label]) / 10) < 1 for label in train
    )
