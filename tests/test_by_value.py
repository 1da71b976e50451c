"""Rows chosen by the value of a column: what is taken, what is counted, what is refused."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import write_rows
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.by_value import MOST_VALUES, ByValue, Chosen
from onsa.errors import InputError
from onsa.tasks import Task, load_task
from tests.command_line import onsa
from tests.shared_data import SHARED, needs_shared_data

SPLIT = {"column": "usage", "train": "train", "eval": "test"}
USAGES = ("train", "train", "test", "train", "dev", "train", "test", "train", "train", "dev")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    rows = [
        {"text": f"text {n}", "label": n % 2, "usage": usage, "seen": n > 4, "hotel": f"h{n // 2}"}
        for n, usage in enumerate(USAGES)
    ]
    return write_rows(tmp_path / "reviews.jsonl", rows)


def load(path: Path, **options: Any) -> Task:
    columns = {"prompt": "text", "reply": "label"}
    keys = {"train": path.name, "columns": columns, **options}
    return load_task("t", "generate", keys, path.parent, 0)


def places(rows: Any) -> list[int]:
    return [int(row.source.rpartition(":")[2]) - 1 for row in rows]


def test_a_column_says_which_rows_train_and_which_are_scored_on(reviews: Path) -> None:
    task = load(reviews, split=SPLIT)
    assert places(task.train) == [0, 1, 3, 5, 7, 8]
    assert places(task.evaluation) == [2, 6]
    assert task.split == "the rows whose column 'usage' is 'test'"
    assert task.notes == (
        "2 of 10 rows of reviews.jsonl are left out, whose column 'usage' is not 'test' or "
        "'train': dev 2",
    )


@given(st.lists(st.sampled_from(["a", "b", "c", " a", "", "é"]), min_size=1, max_size=30))
def test_rows_in_are_rows_kept_and_rows_named(values: list[str]) -> None:
    rows = [({"v": value}, f"f:{place}") for place, value in enumerate(values)]
    sides = (ByValue("v", ("a", "é"), ("b",)), ByValue("v", ("b",), ("a", "é")))
    kept = []
    for side in sides:
        chosen = Chosen([side])
        try:
            kept += [source for _, source in chosen.of(iter(rows), "f")]
        except InputError as fault:
            assert "\n" not in str(fault)
            assert not {value.strip() for value in values} >= {"a", "b", "é"}
    others = [value.strip() for value in values if value.strip() in ("c", "")]
    assert len(kept) == len(set(kept))
    assert len(kept) + len(others) == len(values)
    assert chosen.counts[0] == Counter(value.strip() for value in values)
    assert bool(chosen.notes("f")) == bool(others)


@pytest.mark.parametrize(
    ("split", "sides"),
    [
        ({"column": "usage", "train": ["train", "dev"], "eval": "test"}, (8, 2)),
        ({"column": "seen", "train": False, "eval": True}, (5, 5)),
        ({"column": "seen", "train": "false", "eval": ["true"]}, (5, 5)),
        ({"column": "label", "train": 0, "eval": "1"}, (5, 5)),
    ],
)
def test_values_are_compared_as_text(
    reviews: Path, split: dict[str, Any], sides: tuple[int, int]
) -> None:
    task = load(reviews, split=split)
    assert (len(task.train), len(task.evaluation), task.notes) == (*sides, ())


def test_where_picks_rows_before_they_are_split(reviews: Path) -> None:
    task = load(reviews, where={"usage": ["train", "dev"], "seen": True}, eval_rows=2)
    assert sorted(places(task.train) + places(task.evaluation)) == [5, 7, 8, 9]
    assert task.notes == (
        "2 of 10 rows of reviews.jsonl are left out, whose column 'usage' is not 'dev' or "
        "'train': test 2",
        "4 of 8 rows of reviews.jsonl are left out, whose column 'seen' is not 'true': false 4",
    )


def test_where_holds_for_both_files(reviews: Path) -> None:
    rows = [{"text": f"new {n}", "label": 1, "usage": "dev"} for n in range(3)]
    rows.append({"text": "old", "label": 1, "usage": "old"})
    write_rows(reviews.parent / "eval.jsonl", rows)
    task = load(reviews, eval="eval.jsonl", where={"usage": ["train", "dev"]})
    assert (len(task.train), len(task.evaluation)) == (8, 3)  # train stands in one of them only
    assert [note.split(" are ")[0] for note in task.notes] == [
        "2 of 10 rows of reviews.jsonl",
        "1 of 4 rows of eval.jsonl",
    ]
    with pytest.raises(InputError, match=r"no row has 'trian' .* did you mean 'train'\?"):
        load(reviews, eval="eval.jsonl", where={"usage": ["trian", "dev"]})
    with pytest.raises(InputError, match=r"eval.jsonl: no row has 'test'"):
        load(reviews, eval="eval.jsonl", where={"usage": "test"})


def test_what_a_split_by_a_file_allows_one_by_a_column_does(reviews: Path) -> None:
    assert len(load(reviews, split=SPLIT, eval_rows=1).evaluation) == 1
    with pytest.raises(InputError, match="2 groups of 'hotel' stand on both sides"):
        load(reviews, split=SPLIT, group="hotel")
    task = load(reviews, split=SPLIT, group="hotel", drop_overlap=True)
    assert places(task.train) == [0, 1, 5, 8]  # 3 is of the hotel of 2, 7 of that of 6
    twins = [{"text": "one", "label": 1, "usage": usage} for usage in ("train", "test")]
    write_rows(reviews, [*twins, {"text": "two", "label": 1, "usage": "train"}])
    assert places(load(reviews, split=SPLIT, drop_overlap=True).train) == [2]


def test_rows_of_neither_side_are_not_read_as_examples(reviews: Path) -> None:
    rows = [json.loads(line) for line in reviews.read_text("utf-8").splitlines()]
    rows[4]["text"] = ["no", "text"]  # of dev
    write_rows(reviews, rows)
    assert len(load(reviews, split=SPLIT).train) == 6
    with pytest.raises(InputError, match="'prompt' is a list"):
        load(reviews, split={**SPLIT, "eval": "dev"})


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"split": {**SPLIT, "column": "usages"}},
         "reviews.jsonl:1: there is no column 'usages' to choose rows by, only the columns text, "
         "label, usage, seen, hotel; did you mean 'usage'?"),
        ({"split": {**SPLIT, "eval": "tset"}},
         "reviews.jsonl: no row has 'tset' in the column 'usage'; did you mean 'test'?; the values "
         "are train 6, test 2, dev 2"),
        ({"split": {**SPLIT, "train": ["train", "valid"]}}, "no row has 'valid' in the column"),
        ({"split": {**SPLIT, "eval": ["dev", "train"]}},
         "split: train and eval both take 'train': each row is on one side; mend the value"),
        ({"split": {"column": "usage", "train": "train"}}, "split.eval: missing; add 'split.eval"),
        ({"split": {**SPLIT, "test": "test"}}, "split: unknown key 'test'; known here: column,"),
        ({"split": {**SPLIT, "eval": []}}, "split: train and eval need a value each"),
        ({"split": "first"}, "split: should be 'random' or 'last', not 'first'; mend the value"),
        ({"split": SPLIT, "eval": "reviews.jsonl"}, "split has no effect with eval: take it out"),
        ({"split": SPLIT, "eval_share": 0.2}, "eval_share and split are two answers: keep one"),
        ({"split": SPLIT, "fold": "1/2"}, "fold and split are two answers: keep one"),
        ({"split": SPLIT, "stratify": True}, "split and stratify are two answers: keep one"),
        ({"where": {}}, "where needs columns with values"),
        ({"where": {"usage": []}}, "where needs columns with values"),
        ({"where": {"usage": "train", "seen": "yes"}}, "no row that is left has 'yes' in the"),
        ({"where": {"usage": "dev", "hotel": "h0"}},
         "no row that is left has 'h0' in the column 'hotel'; the values are h2 1, h4 1"),
        ({"where": {2: "x"}}, "there is no column '2' to choose rows by"),
    ],
)  # fmt: skip
def test_what_is_refused(reviews: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        load(reviews, **options)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_a_column_of_many_values_few_are_kept_and_shown() -> None:
    rows = [({"id": f"row {n}"}, f"f:{n}") for n in range(MOST_VALUES + 500)]
    chosen = Chosen([ByValue("id", ("ROW",))])
    with pytest.raises(InputError, match="no row has 'ROW'") as caught:
        list(chosen.of(rows, "f"))
    assert len(str(caught.value)) < 300
    assert len(chosen.counts[0]) == MOST_VALUES + 1
    assert chosen.counts[0].total() == len(rows)


def test_tables_without_a_header_packed_files_and_rows_inside_rows(tmp_path: Path) -> None:
    lines = "".join(f"id{n}\t{n % 2}\ttext {n}\t{usage}\n" for n, usage in enumerate(USAGES))
    with gzip.open(tmp_path / "reviews.tsv.gz", "wt", encoding="utf-8") as file:
        file.write(lines)
    by_number = {"prompt": 3, "reply": 2}
    options = {"columns": by_number, "split": {**SPLIT, "column": 4}, "where": {2: 0}}
    task = load(tmp_path / "reviews.tsv.gz", **options)
    assert (len(task.train), len(task.evaluation)) == (2, 2)
    passages = [
        {
            "context": f"passage {n}",
            "usage": usage,
            "qas": [{"question": f"{n} {k}?", "answers": [{"text": str(k)}]} for k in range(2)],
        }
        for n, usage in enumerate(USAGES)
    ]
    (tmp_path / "squad.json").write_text(json.dumps({"data": passages}), encoding="utf-8")
    task = load(tmp_path / "squad.json", columns=None, split=SPLIT)
    assert (len(task.train), len(task.evaluation)) == (12, 4)


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "kind", "column", "train", "evaluation"),
    [("pn", "classify", 5, 3888, 1112), ("rte.nlp2020_base", "pair", 7, 5437, 1537)],
)
def test_jrte_by_its_own_column(
    name: str, kind: str, column: int, train: int, evaluation: int
) -> None:
    columns = {"text": 3 if kind == "classify" else [4, 3], "label": 2}
    split = {"column": column, "train": "train", "eval": "dev"}
    keys = {"train": f"jrte/{name}.tsv", "columns": columns, "split": split}
    task = load_task("t", kind, keys, SHARED, 0)
    assert (len(task.train), len(task.evaluation), task.notes) == (train, evaluation, ())


# --- onsa data ---------------------------------------------------------------------------------


def data(path: Path, *arguments: str) -> dict[str, Any]:
    columns = ("--columns", "prompt=text,reply=label", "--near", "0")
    ended = onsa("data", path, *columns, *arguments, "--json")
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out))


def test_data_looks_at_chosen_rows(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reviews.parent)
    facts = data(Path(reviews.name), "--where", "usage=train,usage=dev")
    assert facts["rows"] == 8
    assert "2 of 10 rows of reviews.jsonl are left out" in facts["notes"][0]
    split = "column=usage,train=train,train=dev,eval=test"
    rows = [json.loads(line) for line in reviews.read_text("utf-8").splitlines()]
    write_rows(reviews, [*rows, {**rows[2], "usage": "dev"}, {**rows[0], "usage": "other"}])
    clean = ("--write", "clean.jsonl", "--rules", "overlap")
    facts = data(Path(reviews.name), "--split", split, *clean)
    assert (facts["rows"], facts["evaluation_rows"]) == (9, 2)
    assert facts["findings"]["overlap"]["rows"] == 1
    assert [note for note in facts["notes"] if "left out" in note] == [
        "1 of 12 rows of reviews.jsonl are left out, whose column 'usage' is not 'dev' or 'test' "
        "or 'train': other 1"
    ]
    assert facts["cleaned"]["by_rule"] == {"overlap": 1}
    assert len(Path("clean.jsonl").read_text("utf-8").splitlines()) == 8


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--where", "usage"), "--where: 'usage' is no pair of a name and a column or value"),
        (("--where", "usage=tran"), "no row has 'tran' in the column 'usage'; did you mean"),
        (("--split", "usage=train"), "--split: one column says it; write column=usage,"),
        (("--split", "column=usage,train=train"), "--split: eval: missing"),
        (("--split", "column=usage,train=a,eval=a"), "train and eval both take 'a'"),
        (("--split", "column=usage,train=train,eval=x"), "no row has 'x' in the column 'usage'"),
        (("--split", "column=usage,train=train,eval=dev", "--eval", "x.jsonl"), "leave one out"),
    ],
)  # fmt: skip
def test_what_data_refuses(reviews: Path, arguments: tuple[str, ...], line: str) -> None:
    assert line in onsa("data", reviews, *arguments).refused()
