"""The command line as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.cells import cell_len

from onsa import __version__
from onsa.commands.check import check_recipe
from onsa.errors import InputError, did_you_mean
from onsa.weights import Weights
from tests.command_line import WORDS, onsa, task, write_recipe
from tests.conftest import write_rows

TinyModel = Callable[..., Path]
COMMANDS = ("init", "check", "tune", "add", "report", "methods", "tasks", "chat", "demo")

HELP_OF_ALL = """
import sys
from onsa.cli import app
for command in sys.argv[1:]:
    print("command", command)
    app([command, "--help"], prog_name="onsa", standalone_mode=False)
print("heavy", [name for name in ("torch", "transformers", "numpy") if name in sys.modules])
"""


def test_the_help_of_every_command_has_an_example_and_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL, *COMMANDS],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    *helps, heavy = done.stdout.replace("\nheavy ", "\ncommand heavy ").split("command ")[1:]
    for command, shown in zip(COMMANDS, helps, strict=True):
        assert f"Usage: onsa {command}" in shown, shown
        assert f"Example: onsa {command}" in shown, shown
    assert heavy == "heavy []\n"


def test_without_a_command_the_help_is_shown() -> None:
    ended = onsa()
    assert (ended.code, ended.err) == (0, "")
    assert all(command in ended.out for command in COMMANDS)


def test_the_version() -> None:
    assert onsa("--version").out == f"onsa {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["chekc"], "No such command 'chekc'. Did you mean 'check'?; see 'onsa --help'"),
        (["check"], "Missing argument 'RECIPE'; see 'onsa check --help'"),
        (["tune", "x", "--jsn"], "No such option: --jsn"),
        (["chat", "x", "--max-new-tokens", "0"], "Invalid value for '--max-new-tokens'"),
        (["demo", "--seed", "-1"], "Invalid value for '--seed'"),
    ],
)
def test_misuse_is_one_line(arguments: list[str], line: str) -> None:
    assert line in onsa(*arguments).refused()


@pytest.mark.parametrize("command", ["methods", "tasks"])
def test_lists_for_people_and_for_programs(command: str) -> None:
    shown, parsed = onsa(command), json.loads(onsa(command, "--json").out)
    assert shown.code == 0
    assert len(parsed) > 2
    for entry in parsed:
        assert entry["name"] in shown.out
        assert entry["summary"].endswith(".")
        assert all(key in shown.out for key in entry["settings"])


def test_the_words_that_a_setting_may_be_are_listed() -> None:
    listed = json.loads(onsa("methods", "--json").out)
    settings = next(entry["settings"] for entry in listed if entry["name"] == "cpi_ft")
    assert settings["conflict"]["choices"] == ["larger_update", "mean", "last"]
    assert settings["integrate_on"]["choices"] == ["mixed", "seen", "group"]
    assert "difficulty" in settings["order"]["choices"]
    assert settings["core_share"]["choices"] == []
    assert "words: larger_update, mean, last" in onsa("methods").out
    assert "train: required" in onsa("tasks").out


def test_unknown_words_get_the_nearest_known_one_or_some_of_them() -> None:
    assert did_you_mean("lerning", {"learning", "x"}) == "did you mean 'learning'?"
    assert did_you_mean("qqq", {"b", "a"}) == "known here: a, b"
    assert did_you_mean("qqq", set()) == "known here: none"
    assert did_you_mean("qqq", {f"a{n:02}" for n in range(99)}).endswith("a15 and 83 more")


def test_a_message_is_one_line_that_moves_no_cursor() -> None:
    fault = InputError("two\nlines \x1b[2J of 日本語", where="a\tb", way_out="mend\r\nit")
    assert str(fault) == "a b: two lines �[2J of 日本語; mend it"


@pytest.fixture
def japanese(tmp_path: Path, tiny_model: TinyModel) -> Path:
    """A recipe with a wide name."""
    rows = [{"prompt": f"次の{word}を返す", "completion": f"{word}です"} for word in WORDS]
    write_rows(tmp_path / "wide.jsonl", rows)
    wide = task("日本語の言い換え", train="wide.jsonl")
    return write_recipe(tmp_path, tiny_model(), tasks=[task("echo"), wide])


def test_check_shows_parameters_by_place_to_the_eye(japanese: Path) -> None:
    ended = onsa("check", japanese)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    rows = [line for line in lines if "generate" in line]
    assert [line.split()[0] for line in rows] == ["echo", "日本語の言い換え"]
    assert len({cell_len(line[: line.index("generate")]) for line in rows}) == 1
    assert all(cell_len(line) <= 80 for line in lines)
    assert "<|im_start|>assistant\n⟦ba<|im_end|>⟧\n" in ended.out
    assert "⟦baです<|im_end|>⟧" in ended.out
    alike = next(line.split() for line in lines if "block 0-1, each" in line)
    assert alike[-3:] == ["3,072", "6,144", "64"]
    everything = next(line.split() for line in lines if line.split()[:1] == ["all"])
    assert everything[2:] == ["6,144", "12,288", "160"]


def test_check_counts_what_training_sees(japanese: Path) -> None:
    facts = json.loads(onsa("check", japanese, "max_steps=-1", "--json").out)
    assert facts == json.loads(json.dumps(facts, allow_nan=False))
    echo, wide = facts["tasks"]
    assert (echo["train_rows"], echo["eval_rows"]) == (56, 4)
    pieces = [piece for trained, piece in echo["sample"] if trained]
    assert pieces == ["ba<|im_end|>"]
    whole = echo["trained_tokens_per_epoch"] + wide["trained_tokens_per_epoch"]
    assert facts["estimate"]["trained_tokens"] == 2 * whole  # two epochs
    tokens = echo["tokens_per_epoch"] + wide["tokens_per_epoch"]
    assert facts["estimate"]["processed_tokens_with_baselines"] == 2 * tokens
    entries = sum(place["entries"] for place in facts["parameters"])
    assert entries == facts["model"]["parameters"]


def test_check_lists_blocks_in_their_order(tmp_path: Path, tiny_model: TinyModel) -> None:
    from onsa.commands.check import parameters_by_place

    for architecture in ("llama", "gpt2", "gpt_neox", "gemma2", "bert"):
        blocks = [
            place["block"] for place in parameters_by_place(Weights(tiny_model(architecture)))
        ]
        assert list(dict.fromkeys(blocks))[:3] == ["embedding", "0", "1"], architecture


def test_check_says_what_is_cut(japanese: Path) -> None:
    (japanese.parent / "long.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{n}", "completion": "ba " * 60}) + "\n" for n in range(9))
    )
    raw = yaml.safe_load(japanese.read_text(encoding="utf-8"))
    raw |= {"tasks": [task("long")], "max_length": 40}
    japanese.write_text(yaml.safe_dump(raw), encoding="utf-8")
    ended = onsa("check", japanese)
    assert "note: task long: " in ended.out
    said = " ".join(ended.out.split())
    assert "5 rows are longer than max_length 40 and cut on the right: " in said
    assert "reply tokens in 5 rows" in said


def test_check_asks_for_less_where_memory_is_short(
    japanese: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onsa.commands.check.memory_there", lambda: 10**6)
    said = " ".join(onsa("check", japanese).out.split())
    first = "per_device_train_batch_size=4 gradient_accumulation_steps=2 (about "
    assert f"does not fit; cheapest first: {first}" in said
    changes = ["per_device_train_batch_size=1", "gradient_checkpointing=true"]
    said = " ".join(onsa("check", japanese, *changes).out.split())
    assert "cheapest first: max_length=" in said


def test_max_steps_sets_what_an_estimate_is_of(japanese: Path) -> None:
    facts = check_recipe(japanese, ["max_steps=7", "per_device_train_batch_size=4"])
    guess = facts["estimate"]
    assert guess["of"] == "each training"
    rows = sum(entry["train_rows"] for entry in facts["tasks"])
    tokens = sum(entry["tokens_per_epoch"] for entry in facts["tasks"])
    assert guess["processed_tokens_with_baselines"] == round(7 * 4 / rows * tokens)


ODD_NAMES = [
    "no.jsonl",
    "日本語 データ #1: x.jsonl",
    "-dash.jsonl",
    "two.words.jsonl",
    "'q\".jsonl",
]


LABELLED = {
    "classify": [{"text": f"text {n}", "label": ["yes", "no"][n % 2]} for n in range(20)],
    "classify_many": [{"text": f"words {n}", "labels": ["a", "b"][: n % 3]} for n in range(20)],
    "pair": [{"premise": f"p {n}", "hypothesis": f"h {n}", "label": n % 2} for n in range(20)],
    "regress": [{"text": f"some {n}", "label": n + 0.5} for n in range(20)],
    "rank": [{"prompt": f"to {n}", "chosen": f"b {n}", "rejected": f"a {n}"} for n in range(20)],
}


def test_init_writes_what_check_accepts(tmp_path: Path, tiny_model: TinyModel) -> None:
    files = []
    for number, name in enumerate([*ODD_NAMES, "sub/no.jsonl"]):
        path = tmp_path / "data dir" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"prompt": f"{number} {w}", "completion": w} for w in WORDS]
        files.append(write_rows(path, rows))
    choices = [
        {"question": f"which {n}", "options": ["yes", "no"], "answer": n % 2} for n in range(20)
    ]
    files.append(write_rows(tmp_path / "choices.jsonl", choices))
    files += [write_rows(tmp_path / f"{kind}.jsonl", rows) for kind, rows in LABELLED.items()]
    recipe = tmp_path / "first.yaml"
    ended = onsa("init", *files, "--model", tiny_model(), "--output", recipe)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"wrote {recipe}; onsa check {recipe}\n"
    checked = onsa("check", recipe, "--json")
    assert checked.err == ""
    facts = json.loads(checked.out)
    assert [entry["train_rows"] for entry in facts["tasks"]] == [54] * 6 + [18] * 6
    kinds = [entry["kind"] for entry in facts["tasks"][6:]]
    assert kinds == ["choose", *(kind.removesuffix("_many") for kind in LABELLED)]
    text = recipe.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["tasks"][0]["name"] == "data_dir_no"
    assert "kind: pair             # each pair of texts has one of 2 labels; 'onsa tasks'" in text
    assert text.count("many: true") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none.jsonl"], "no such file"),
        (["one.jsonl"], "one is needed to train and one to score"),
        (["good.jsonl", "--output", "there.yaml"], "there.yaml: is there already"),
        (["good.jsonl", "--output", "none/x.yaml"], "there is no such folder"),
    ],
)
def test_init_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "one.jsonl", [{"prompt": "a", "completion": "b"}])
    write_rows(tmp_path / "good.jsonl", [{"prompt": f"{n}", "completion": "b"} for n in range(9)])
    (tmp_path / "there.yaml").write_text("mine")
    assert line in onsa("init", *arguments).refused()
    assert (tmp_path / "there.yaml").read_text() == "mine"
    assert not (tmp_path / "recipe.yaml").exists()


def test_init_without_a_model_says_so(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "a.jsonl", [{"prompt": f"{n}", "completion": "b"} for n in "abc"])
    ended = onsa("init", file, "--output", tmp_path / "r.yaml")
    assert "write the model into" in ended.out
    assert "FOLDER_OR_HUB_NAME: there is no such model" in onsa("check", tmp_path / "r.yaml").err


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_model: TinyModel) -> tuple[Path, Any]:
    """A finished run, and how `onsa tune --json` ended."""
    folder = tmp_path_factory.mktemp("tuned")
    return folder / "run", onsa("tune", write_recipe(folder, tiny_model()), "--json")


def test_tune_writes_json_to_one_stream_and_progress_to_the_other(tuned: tuple[Path, Any]) -> None:
    run, ended = tuned
    facts = json.loads(ended.out)
    assert [row["label"] for row in facts["results"]] == ["base", "full"]
    assert facts == json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert all(line[2] == ":" for line in ended.err.splitlines()), ended.err
    assert "full" in ended.err


def test_report_makes_the_page_anew(tuned: tuple[Path, Any]) -> None:
    run, ended = tuned
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert json.loads(onsa("report", run, "--json").out) == json.loads(ended.out)
    assert (run / "report.html").read_bytes() == page
    assert onsa("report", run).out.splitlines()[-2:] == [
        f"model   {run / 'model'}",
        f"report  {run / 'report.html'}",
    ]


def test_chat_answers_what_is_piped_in(tuned: tuple[Path, Any]) -> None:
    run, _ = tuned
    ended = onsa("chat", run, "--max-new-tokens", 3, stdin="again ba\n日本語\n\nnot asked\n")
    assert (ended.code, ended.err) == (0, "")
    inside = onsa("chat", run / "model", "--system", "short", "--max-new-tokens", 3, stdin="a")
    assert inside.code == 0
    assert onsa("chat", run, stdin="").out == ""


def test_chat_asks_which_of_several_models(tmp_path: Path, tiny_model: TinyModel) -> None:
    for name in ("echo", "upper"):
        (tmp_path / "run" / "model" / name).mkdir(parents=True)
        (tmp_path / "run" / "model" / name / "config.json").write_text("{}")
    said = onsa("chat", tmp_path / "run").refused()
    assert f"several models (echo, upper); name one of them: onsa chat {tmp_path}/run/mod" in said


STREAMS = """
import sys
from onsa.cli import _print_whatever_comes
_print_whatever_comes()
print(sys.stdin.readline().strip(), "⟦日本⟧")
"""


def test_a_terminal_without_the_characters_and_broken_ones_piped_in() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STREAMS],
        input=b"\xff\n",
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"\\ufffd \\u27e6\\u65e5\\u672c\\u27e7\n"


def test_a_budget_of_tokens_is_what_check_expects(tiny_model: TinyModel, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, tiny_model(), max_steps=..., trained_tokens=120)
    facts = check_recipe(path, [])
    assert facts["estimate"]["trained_tokens"] == pytest.approx(120, abs=2)
    twice = check_recipe(path, ["trained_tokens=240"])["estimate"]
    key = "processed_tokens_with_baselines"
    assert twice[key] == pytest.approx(2 * facts["estimate"][key], abs=2)
