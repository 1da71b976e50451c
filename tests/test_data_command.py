"""`onsa data` and the notes of `onsa check`, through the real command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from onsa.data.reading import read_examples
from tests.command_line import onsa, task, write_recipe
from tests.conftest import write_rows
from tests.test_inspection import FABLE, NOVEL, pairs

ROWS = pairs(
    ("東京タワーの住所は？", "〒105-0011 東京都港区芝公園4丁目2-8です。"),
    ("質問", "答え"),
    ("質問", "答え"),
    ("質問", "別の答え"),
    ("", "空"),
    (NOVEL, "夏目漱石"),
    (NOVEL + "！", "夏目漱石"),
    ("<script>alert(1)</script>\x1b[31m", "x"),
)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_rows(Path("train.jsonl"), ROWS)


def test_the_figures_as_json(train: Path) -> None:
    ended = onsa("data", train, "--json")
    assert (ended.code, ended.err) == (0, "")
    facts = json.loads(ended.out)
    assert facts["rows"] == 8
    assert {name: found["rows"] for name, found in facts["findings"].items()} == {
        "empty": 1, "misshapen": 0, "duplicates": 1, "near_duplicates": 1, "conflicts": 1,
        "characters": 1, "personal_data": 1,
    }  # fmt: skip
    assert facts["shapes"] == {"train.jsonl": "prompt_completion"}
    assert facts["languages"]["rows"] == {"Japanese": 6, "Latin script": 1}


def test_languages_are_told_in_japanese_and_labels_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when what the data call a label is translated because onsa knows the word."""
    monkeypatch.chdir(tmp_path)
    said = [
        ("the end of the film", "rows"),
        ("what is it that you do", "rows"),
        ("夏が来た", "text"),
    ]
    path = write_rows(Path("film.jsonl"), [{"text": text, "label": label} for text, label in said])
    ended = onsa("data", path, "--lang", "ja", "--page", "film.html")
    page = Path("film.html").read_text(encoding="utf-8")
    assert re.search(r"言語 +英語 +2", ended.out)
    assert re.search(r"ラベル +rows +2 ", ended.out)
    assert re.search(r"text +1 +33\.3%", ended.out)
    assert "<span>日本語</span>" in page
    assert '<span class="data">rows</span>' in page


def test_the_table_aligns_wide_characters_and_moves_no_cursor(
    train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    ended = onsa("data", train)
    assert ended.code == 0
    assert "\x1b" not in ended.out
    lines = ended.out.split("\n")
    start = next(place for place, line in enumerate(lines) if line.startswith(" finding "))
    table = lines[start : lines.index(next(x for x in lines[start:] if not x.strip()), start)]
    assert len({cell_len(line) for line in table}) == 1
    assert any("東京都港区" in line for line in table)
    column = cell_len(table[0].partition("text")[0])
    for line in table:
        before, width = "", 0
        for character in line:
            if width >= column:
                break
            before, width = before + character, width + cell_len(character)
        assert width == column  # no wide character reaches over the edge of a column
        assert before.endswith(("  ", "──", "─"))


def test_the_page_shows_findings_and_lets_nothing_act(train: Path) -> None:
    assert onsa("data", train, "--page", "page.html").code == 0
    page = Path("page.html").read_text("utf-8")
    assert "東京都港区芝公園4丁目2-8" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "Not in this run: labels; cleaning." in page
    assert page.count('class="panel"') == 1
    assert not re.search(r'\sstyle="|\son\w+="|src=|href="(?!#)', page)


def test_clean_rows_can_be_trained_on_and_none_is_lost(train: Path) -> None:
    rules = "control_characters,personal_data,empty,conflicts,duplicates,near_duplicates"
    ended = onsa("data", train, "--write", "clean.jsonl", "--rules", rules)
    assert ended.code == 0
    assert "8 rows = 3 kept + 5 dropped; 2 of those kept were changed" in ended.out
    kept = read_examples("clean.jsonl", base_folder=Path())
    assert [example.reply for example in kept] == ["[ADDRESS]です。", "夏目漱石", "x"]
    log = [json.loads(line) for line in Path("clean.dropped.jsonl").read_text("utf-8").splitlines()]
    assert [entry["row"] for entry in log] == [row for row in ROWS if row["prompt"] != NOVEL]
    assert [entry["action"] for entry in log] == ["changed", *["dropped"] * 5, "changed"]
    again = onsa("data", "clean.jsonl", "--json")
    assert {found["rows"] for found in json.loads(again.out)["findings"].values()} == {0}


def test_the_usual_rules_keep_what_could_be_wanted(train: Path) -> None:
    facts = json.loads(onsa("data", train, "--write", "clean.jsonl", "--json").out)["cleaned"]
    assert facts["by_rule"] == {"control_characters": 1, "empty": 1, "duplicates": 1}
    assert (facts["kept"], facts["dropped"]) == (6, 2)


def test_overlap_with_the_evaluation_is_found_and_dropped(train: Path) -> None:
    write_rows(
        Path("test.jsonl"), pairs(("質問", "答え"), (NOVEL.replace("どこで", ""), "夏目漱石"))
    )
    arguments = (
        "--eval",
        "test.jsonl",
        "--write",
        "clean.jsonl",
        "--rules",
        "overlap,near_overlap",
    )
    facts = json.loads(onsa("data", train, *arguments, "--json").out)
    assert facts["evaluation_rows"] == 2
    assert [facts["findings"][name]["rows"] for name in ("overlap", "near_overlap")] == [3, 2]
    assert facts["cleaned"]["by_rule"] == {"overlap": 3, "near_overlap": 2}


def test_tables_are_written_in_their_own_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text('文,ラベル,id\n"良い、宿",1,a\n良い、宿,1,b\n', encoding="utf-8")
    columns = ("--columns", "prompt=文,reply=ラベル")
    ended = onsa("data", "t.csv", *columns, "--write", "clean.jsonl")
    assert ended.code == 0
    assert (
        Path("clean.jsonl").read_text("utf-8") == '{"文": "良い、宿", "ラベル": "1", "id": "a"}\n'
    )


def test_tokens_are_counted_by_the_model(
    train: Path, tiny_model: Callable[..., Path], tokenizer: Any
) -> None:
    facts = json.loads(onsa("data", train, "--model", tiny_model(), "--json").out)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "質問"}, {"role": "assistant", "content": "答え"}],
        tokenize=False,
    )
    assert facts["tokens"]["quantiles"]["0.25"] == len(tokenizer(text)["input_ids"])
    assert facts["tokens"]["rows"] == 7


def test_several_files_are_one_set(train: Path) -> None:
    write_rows(Path("more.jsonl"), pairs(("質問", "答え")))
    facts = json.loads(onsa("data", train, "more.jsonl", "--json").out)
    assert facts["rows_of"] == {"train.jsonl": 8, "more.jsonl": 1}
    twins = [case["twin"] for case in facts["findings"]["duplicates"]["cases"]]
    assert twins == ["train.jsonl:2"] * 2


FAULTS: list[tuple[tuple[str, ...], str]] = [
    (("nothing.jsonl",), "no such file"),
    (("trian.jsonl",), "did you mean 'train.jsonl'"),
    (("train.jsonl", "--rules", "empty"), "add --write"),
    (("train.jsonl", "--write", "c.jsonl", "--rules", "emty"), "did you mean 'empty'"),
    (("train.jsonl", "--write", "c.jsonl", "--rules", " , "), "no rule is named"),
    (("train.jsonl", "--write", "c.jsonl", "--rules", "overlap"), "give them with --eval"),
    (("train.jsonl", "--write", "c.jsonl", "--rules", "personal_data,personal_data=drop"), "two"),
    (("train.jsonl", "--write", "c.csv"), "end its name in .jsonl"),
    (("train.jsonl", "--write", "train.jsonl"), "is one of the inputs"),
    (("train.jsonl#3", "--write", "./train.jsonl"), "is one of the inputs"),
    (("train.jsonl", "--eval", "there.jsonl", "--write", "there.jsonl"), "is one of the inputs"),
    (("train.jsonl", "--write", "there.jsonl"), "is there already"),
    (("train.jsonl", "--write", "no/c.jsonl"), "no such folder"),
    (("train.jsonl", "--write", "c.jsonl", "--rules", "near_duplicates", "--near", "0"), "--near"),
    (("train.jsonl", "--near", "many"), "no number of rows"),
    (("train.jsonl", "--columns", "prompt"), "is no pair of a name and a column"),
    (("train.jsonl", "--columns", "promt=prompt,reply=completion"), "did you mean 'prompt'"),
    (("train.jsonl", "--format", "alpaka"), "did you mean 'alpaca'"),
    (("train.jsonl", "--page", "page.txt"), "end its name in .html"),
    (("train.jsonl", "--page", "no/page.html"), "no such folder"),
    (("train.jsonl", "--model", "./nowhere"), "no such model folder"),
    (("broken.jsonl",), "broken JSON"),
    (("train.jsonl", "--eval", "nothing.jsonl"), "no such file"),
]


@pytest.mark.parametrize(("arguments", "said"), FAULTS, ids=lambda value: str(value)[:60])
def test_what_is_wrong_is_one_line(train: Path, arguments: tuple[str, ...], said: str) -> None:
    write_rows(Path("there.jsonl"), ROWS)
    Path("broken.jsonl").write_text('{"prompt": "q", "completion": "a"}\n{"prompt"\n')
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert said in onsa("data", *arguments).refused()
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_cannot_be_written_is_one_line(train: Path) -> None:
    Path("locked").mkdir(mode=0o555)
    assert "denied" in onsa("data", train, "--write", "locked/c.jsonl").refused()


def test_a_broken_row_leaves_no_half_of_a_file(train: Path) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in pairs(("q", "a"), ("p", "b")))
    Path("late.jsonl").write_text(rows + "{broken\n")
    assert "late.jsonl:3" in onsa("data", "late.jsonl", "--write", "c.jsonl").refused()
    assert sorted(path.name for path in Path().iterdir()) == ["late.jsonl", "train.jsonl"]


def test_check_says_what_is_in_the_rows(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    tasks = [task("echo", train="mine.jsonl", eval="other.jsonl", eval_rows=...), task("upper")]
    recipe = write_recipe(tmp_path, tiny_model(), tasks=tasks)
    nearly = FABLE.replace("one day", "once")
    rows = pairs(("q", "a"), ("q", "a"), ("q", "b"), ("m", "t@docomo.ne.jp"), (nearly, "sour"))
    write_rows(tmp_path / "mine.jsonl", rows)
    write_rows(tmp_path / "other.jsonl", pairs((FABLE, "sour"), ("else", "x")))
    ended = onsa("check", recipe, "--json")
    assert ended.code == 0, ended
    notes = [note for note in json.loads(ended.out)["notes"] if note.startswith("task echo")]
    assert notes == [
        "task echo: 1 training row repeats an earlier row (mine.jsonl:2 = mine.jsonl:1)",
        "task echo: 1 training row asks what an earlier row asks and replies otherwise "
        "(mine.jsonl:3 = mine.jsonl:1)",
        "task echo: 1 training row is nearly an evaluation row (mine.jsonl:5 = other.jsonl:1)",
        "task echo: 1 training row holds personal data (e-mail 1; mine.jsonl:4)",
    ]
