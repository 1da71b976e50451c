"""Every mistake is one line that says what, where and the way out; nothing is lost or half done."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from onsa.commands.report import read_report
from onsa.errors import InputError
from onsa.files import read_json, write_json
from onsa.methods import all_methods, method_settings
from onsa.prepare.ready import identity
from onsa.recipe.reading import build_recipe, read_raw
from onsa.recipe.schema import Recipe
from onsa.run import claim_folder
from onsa.state import load_state
from onsa.weights import Weights
from tests.command_line import onsa, task, write_recipe
from tests.conftest import write_rows

TinyModel = Callable[..., Path]


def files_below(folder: Path) -> dict[str, int]:
    """Every file and folder with its size, so that a change is seen."""
    return {str(path): path.stat().st_size for path in sorted(folder.rglob("*"))}


def check(folder: Path, base: Path, /, **changes: Any) -> str:
    """What `onsa check` says of a faulty recipe; it writes nothing."""
    path = write_recipe(folder, base, **changes)
    before = files_below(folder)
    said = onsa("check", path).refused()
    assert files_below(folder) == before
    return said


TASKS = [task("echo"), task("upper")]
CPI_FT = {"method": "cpi_ft", "max_steps": ...}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lerning_rate": 1}, "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ({"core_share": 0.1}, "'core_share' has no effect with method 'full'; remove it"),
        ({"method": "cpift"}, "unknown method 'cpift'; did you mean 'cpi_ft'?"),
        ({"method": 3}, "unknown method 3"),
        ({"model": ...}, "model: missing; add 'model: ...'"),
        ({"output": ...}, "output: missing"),
        ({"tasks": ...}, "no tasks; list at least one"),
        ({"tasks": "echo"}, "no tasks; list at least one"),
        ({"tasks": [task("echo"), task("Echo")]}, "two tasks are named 'Echo'; give each its own"),
        ({"tasks": {"echo": {"name": "x"}}}, "tasks: echo: a second name"),
        ({"tasks": [{"train": "echo.jsonl"}]}, "a task without a name"),
        ({"tasks": [task("echo", trian=1)]}, "unknown key 'trian'; did you mean 'train'?"),
        ({"tasks": [task("echo", kind="genrate")]}, "unknown kind of task 'genrate'; did you mean"),
        ({"tasks": [task("echo", weight=0)]}, "weight: should be greater than 0"),
        ({"tasks": [task("echo", weight=1e300)]}, "weight: should be less than or equal to 1000"),
        ({"tasks": [task("../x")]}, "no '/'"),
        ({"tasks": [task("echo", max_new_tokens=True)]}, "max_new_tokens: cannot be yes"),
        ({"learning_rate": True}, "learning_rate: cannot be yes"),
        ({"learning_rate": "fast"}, "learning_rate: should be a valid number"),
        ({"learning_rate": float("nan")}, "learning_rate: should be a finite number"),
        ({"seed": False}, "seed: cannot be no"),
        ({"max_steps": 0}, "max_steps 0 trains nothing; give a number above 0, or -1"),
        ({"num_train_epochs": 3}, "num_train_epochs has no effect with max_steps; keep one"),
        ({"max_steps": ..., "num_train_epochs": 1e12}, "less than or equal to 10000"),
        ({"save_minutes": 1, "save_steps": 1}, "save_minutes has no effect with save_steps"),
        ({"lr_scheduler_type": "constant", "warmup_ratio": 0.1}, "write constant_with_warmup"),
        ({"lr_scheduler_type": "linaer"}, "lr_scheduler_type: should be 'linear'"),
        ({"baselines": "full"}, "not a list; write [full]"),
        ({"baselines": ["full"]}, "two are labelled 'full'; give one another 'label: ...'"),
        ({"baselines": [{"method": "single", "label": "base"}]}, "two are labelled 'base'"),
        ({"baselines": [{"method": "single", "core_share": 1}]}, "no effect with method 'single'"),
        (
            {"baselines": [{"method": "single", "max_length": 100}]},
            "baselines[1]: the key 'max_length' has no effect here; move it to the top",
        ),
        (
            {"baselines": [{"method": "single", "learning_rate": "fast"}]},
            "baselines[1]: learning_rate: should be a valid number",
        ),
        (
            {"baselines": [{"method": "lora", "layer_decay": 0.5}]},
            "baselines[1]: the key 'layer_decay' has no effect with method 'lora'",
        ),
        (
            {"baselines": [{"method": "single", "traned_tokens": 1}]},
            "baselines[1]: unknown key 'traned_tokens'; did you mean 'trained_tokens'?",
        ),
        ({"learning_rates": {"*.nom.*": 1e-3}}, "'*.nom.*' fits no tensor of the model"),
        (
            {"baselines": [{"method": "full", "label": "x", "learning_rates": {"y": 1.0}}]},
            "the pattern 'y' fits no tensor of the model",
        ),
        (
            {"max_steps": ..., "num_train_epochs": 1, "trained_tokens": 9},
            "num_train_epochs has no effect with trained_tokens; keep one of them",
        ),
        (
            {"untrained_tasks": [task("echo")]},
            "two tasks are named 'echo'; give each its own name",
        ),
        (
            {"untrained_tasks": [{**task("upper"), "name": "old", "weight": 2}]},
            "a weight has no effect on 'old', which is not trained",
        ),
        ({"overlap_share": 2}, "overlap_share: should be less than or equal to 1"),
        ({"output": "../../x"}, "'output: ../../x' leaves the recipe's folder; write it below"),
        ({"output": "/elsewhere"}, "leaves the recipe's folder"),
        ({"output": "~/x"}, "'~/x' is no place for a run"),
        ({"output": " "}, "' ' is no place for a run"),
        ({"output": 12}, "output: should be a valid string, not 12"),
        ({"model": "modle"}, "modle: there is no such model folder"),
        ({"model": "echo.jsonl"}, "echo.jsonl: is a file; give the Hugging Face model folder"),
        ({"model": "nobody/nothing"}, "is not a folder here and the hub gave none"),
        ({"model": "."}, "holds no config.json"),
        ({"chat_template": "x.jinja"}, "x.jinja: the chat template cannot be read (No such file"),
        ({"chat_template": "recipe.yaml"}, "task echo, echo.jsonl:1: no reply token is left"),
        ({**CPI_FT, "core_share": 0}, "core_share: should be greater than 0, not 0"),
        ({**CPI_FT, "core_share": 1}, "core_share: should be less than 1"),
        ({**CPI_FT, "core_share": "100%"}, "core_share: should be less than 1, not '100%'"),
        ({**CPI_FT, "core_share": "much"}, "core_share: should be a valid number"),
        ({**CPI_FT, "overlap": 1.5}, "the overlap threshold is 1.5; give a number from 0 to 1"),
        ({**CPI_FT, "overlap": -1}, "the overlap threshold is -1"),
        ({**CPI_FT, "overlap": "999x chance"}, "the overlap threshold is '999x chance'"),
        ({**CPI_FT, "saliency": "updat"}, "no saliency rule 'updat'; did you mean 'update'?"),
        ({**CPI_FT, "fusion": "slurp"}, "there is no blend 'slurp'; did you mean 'slerp'?"),
        ({**CPI_FT, "grouping": "jacard"}, "no grouping rule 'jacard'; did you mean 'jaccard'?"),
        ({**CPI_FT, "order": "randm"}, "no order rule 'randm'; did you mean 'random'?"),
        ({**CPI_FT, "hold": "erlier"}, "no hold rule 'erlier'; did you mean 'earlier'?"),
        ({**CPI_FT, "conflict": "first"}, "there is no conflict rule 'first'; known here: larger"),
        ({**CPI_FT, "order": ["echo"]}, "order: names echo; the tasks are echo, upper"),
        ({**CPI_FT, "order": ["echo", "echo", "upper"]}, "name every task exactly once"),
        ({**CPI_FT, "order": "given"}, "order: 'given' is no order by itself; list all tasks"),
        ({**CPI_FT, "groups": [["echo"]]}, "groups: names echo; the tasks are echo, upper"),
        ({**CPI_FT, "groups": [["echo", "x"], ["upper"]]}, "name every task exactly once"),
        ({**CPI_FT, "groups": [["echo", "upper"], []]}, "groups: a group without a task"),
        ({**CPI_FT, "grouping": "given"}, "grouping 'given' needs groups"),
        ({**CPI_FT, "groups": [["echo"], ["upper"]], "overlap": 0.2}, "overlap has no effect"),
        ({**CPI_FT, "epsilon": 0}, "epsilon: should be greater than 0"),
        ({**CPI_FT, "epsilon": 0.1, "fusion": "ties"}, "epsilon has no effect with fusion 'ties'"),
        ({**CPI_FT, "update_scale": 0.4}, "update_scale has no effect with fusion 'slerp'"),
        ({**CPI_FT, "replay": 0.1}, "replay has no effect with integrate_on 'mixed'"),
        ({**CPI_FT, "grouping": "loss_transfer", "validation_rows": 0}, "needs validation_rows"),
        (
            {**CPI_FT, "baselines": [{"method": "cpi_ft", "label": "b", "groups": [["echo"]]}]},
            "baselines[1]: groups: names echo",
        ),
    ],
)
def test_a_faulty_recipe(
    tmp_path: Path, tiny_model: TinyModel, changes: dict[str, Any], line: str
) -> None:
    assert line in check(tmp_path, tiny_model(), **changes)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        (b"model: &a x\noutput: *a\n", "line 2: aliases (*name) are not allowed"),
        (b"<<: {model: x}\n", "merge keys (<<) are not allowed"),
        (b"model: a\nmodel: b\n", "line 2: the key 'model' stands twice"),
        (b"a: " + b"x" * 2_000_000, "larger than 1 MB"),
        (b'output: "a\\0b"\n', "a character that no text may hold"),
        (b'output: "\\ud800"\n', "a character that no text may hold"),
        (b"\x00\x01", "not readable as YAML"),
        (b"\xff\xfe", "not a mapping"),
        (b"", "not a mapping of keys to values"),
        (b"- a\n", "not a mapping"),
        (b"~: 1\n", "not a mapping"),
        (b"a: [1, 2\n", "not readable as YAML, line 2"),
        (b"[" * 50_000, "RecursionError; simplify it"),
        (b"seed: " + b"9" * 5000, "ValueError; simplify it"),
        (b'"two\\nlines": 1\n', "unknown key 'two\\\\nlines'"),
        (b'"\\e[2J": 1\n', "unknown key '\\\\x1b[2J'"),
    ],
)
def test_faulty_yaml(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    assert line.replace("\\\\", "\\") in onsa("check", path).refused()


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file or directory" in onsa("check", tmp_path / "none.yaml").refused()
    assert "Is a directory" in onsa("check", tmp_path).refused()


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("lerning_rate=1", "did you mean 'learning_rate'?"),
        ("learning_rate", "not of the form key=value; for example learning_rate=2e-4"),
        ("learning_rate=", "learning_rate: should be a valid number, not None"),
        ("learning_rate=[", "not readable as YAML"),
        ("tasks.none.train=x", "there is no 'tasks.none' in the recipe"),
        ("tasks.echo.train=ecko.jsonl", "task echo, ecko.jsonl: no such file; did you mean"),
        ("tasks.echo.name=upper", "two tasks are named 'upper'"),
        ("model.x=1", "cannot be set there"),
        ("--learning_rate=1", "No such option: --learning_rate; see 'onsa check --help'"),
    ],
)
def test_a_faulty_override(tmp_path: Path, tiny_model: TinyModel, override: str, line: str) -> None:
    path = write_recipe(tmp_path, tiny_model())
    assert line in onsa("check", path, override).refused()


ROW = '{"prompt": "a", "completion": "b"}\n'
ROWS = "".join(f'{{"prompt": "a{n}", "completion": "b{n}"}}\n' for n in range(10))


@pytest.mark.parametrize(
    ("content", "changes", "line"),
    [
        (f'{ROW}{{"prompt": \n{ROW}', {}, "task x, x.jsonl:2: broken JSON (Expecting value"),
        (f'{ROW}{{"prompt": "c", "completion": ""}}\n', {}, "x.jsonl:2 (an empty reply)"),
        (f'{ROW}{{"prompt": "c"}}\n', {}, "x.jsonl:2: the row has the columns prompt, which is"),
        (f'{ROW}{{"prompt": "c", "completion": "\\ud800"}}\n', {}, "x.jsonl:2: 'completion'"),
        ("", {}, "x.jsonl: no rows in the file"),
        (ROW, {}, "task x: 1 row: one is needed to train and one to score; give more rows"),
        (ROW * 9, {}, "the 9 rows cannot be split: too many have the same prompt"),
        (ROWS, {"eval": "x.jsonl"}, "task x: 10 of 10 evaluation rows are training rows too"),
        (ROWS, {"eval_rows": 10}, "leave none to train on"),
        (ROWS, {"eval_share": "10%"}, "eval_share"),
        (ROWS, {"train_rows": 99}, "train_rows is 99, and there are"),
        (ROWS, {"kind": "choose"}, "the row has no choices"),
        (ROWS, {"kind": "choose", "max_new_tokens": 4}, "no effect with by: likelihood"),
        (ROWS, {"columns": {"prompt": "q", "reply": "a"}}, "there is no column 'q' for 'prompt'"),
        (ROWS, {"train": "x.jsonl#99"}, "fewer rows than the slice asks for"),
        (ROWS, {"train": "/proc/self/mem"}, "/proc/self/mem: cannot be read (Input/output error)"),
        (ROWS, {"max_new_tokens": 999}, "and the model has 512 positions; lower max_new_tokens"),
        (
            "".join(f'{{"prompt": "{"p" * 900}{n}", "completion": "b"}}\n' for n in range(4)),
            {},
            "tokens, and the model has 512 positions; write 'max_length: 512'",
        ),
    ],
)
def test_faulty_data(
    tmp_path: Path, tiny_model: TinyModel, content: str, changes: dict[str, Any], line: str
) -> None:
    (tmp_path / "x.jsonl").write_text(content, encoding="utf-8")
    own = {"eval_rows": ..., "max_new_tokens": ..., **changes}
    if "max_new_tokens" not in changes and "kind" not in changes:
        own["max_new_tokens"] = 4
    assert line in check(tmp_path, tiny_model(), tasks=[task("x", **own)])


@pytest.mark.parametrize("method", ["lora", "loha"])
def test_pain_P13_modules_of_a_baseline_are_looked_for_before_anything_trains(
    tmp_path: Path, tiny_model: TinyModel, method: str
) -> None:
    """Red without `checks.check_choices`: it would be told after the method's own hours."""
    pytest.importorskip("peft")
    baseline = {"method": method, "target_modules": ["q_prj"]}
    said = check(tmp_path, tiny_model(), method="full", baselines=[baseline])
    assert f"{method}, target_modules: the model has no module 'q_prj'; did you mean" in said


@pytest.mark.parametrize("key", ["patterns", "learning_rates"])
def test_pain_P13_a_pattern_that_fits_nothing_is_refused_before_anything_trains(
    tmp_path: Path, tiny_model: TinyModel, key: str
) -> None:
    """Red where `masks` lets a pattern fit nothing: all would be frozen, without a word."""
    wrong = "model.layer.*.mlp.up_proj.weight"
    given = {"patterns": [wrong], "learning_rates": {wrong: 1e-3, "model.layers.*": 1e-4}}[key]
    changes = {"method": "partial", key: given, **({} if key == "patterns" else {"parts": ["mlp"]})}
    said = check(tmp_path, tiny_model(), **changes)
    assert "fits no tensor" in said
    assert "did you mean 'model.layers.*.mlp.up_proj.weight'" in said


def test_pain_P3_a_row_that_is_cut_until_nothing_is_left(
    tmp_path: Path, tiny_model: TinyModel
) -> None:
    """Red where the encoding does not look for what is left to train on."""
    said = check(tmp_path, tiny_model(), max_length=8)
    assert "task echo, echo.jsonl:1: no reply token is left to train on within max_length 8" in said


def test_an_example_in_the_training_of_another_task(tmp_path: Path, tiny_model: TinyModel) -> None:
    tasks = [task("echo"), task("upper", eval="echo.jsonl", eval_rows=...)]
    said = check(tmp_path, tiny_model(), tasks=tasks)
    assert "task upper: 56 of 60 evaluation rows are training rows too (echo.jsonl:" in said
    assert "or allow 'overlap_share: 0.933'" in said
    path = write_recipe(tmp_path, tiny_model(), tasks=tasks, overlap_share=0.95)
    assert "note: task upper: 56 of 60 evaluation rows" in onsa("check", path).out


def test_a_folder_whose_name_is_no_text(tmp_path: Path, tiny_model: TinyModel) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system wants names to be text")
    said = check(folder, tiny_model())
    assert "the path holds bytes that are no text; rename the folder" in said


@contextmanager
def unreadable(*names: str) -> Iterator[None]:
    """These files cannot be opened; tests may run as root, whom no permission stops."""

    def refuse(path: Path, *given: Any, **more: Any) -> Any:
        if path.name in names:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return io.open(path, *given, **more)  # noqa: UP020  (Path.open is what is replaced)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        yield


@pytest.mark.parametrize("name", ["recipe.yaml", "echo.jsonl", "model.safetensors"])
def test_a_file_without_permission(tmp_path: Path, tiny_model: TinyModel, name: str) -> None:
    path = write_recipe(tmp_path, tiny_model())
    with unreadable(name):
        said = onsa("check", path).refused()
    assert name in said
    assert "Permission denied" in said


Edit = Callable[[Path], None]


def config(**changes: Any) -> Edit:
    return lambda folder: write_json(
        folder / "config.json", {**read_json(folder / "config.json"), **changes}
    )


def tensors(change: Callable[[dict[str, Any]], Any]) -> Edit:
    def edit(folder: Path) -> None:
        held = load_file(folder / "model.safetensors")
        change(held)
        save_file(held, folder / "model.safetensors", {"format": "pt"})

    return edit


def without(*names: str) -> Edit:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def text(name: str, content: str) -> Edit:
    return lambda folder: (folder / name).write_text(content) and None


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (without("tokenizer.json", "tokenizer_config.json"), "holds no tokenizer"),
        (text("tokenizer.json", "{"), "its tokenizer cannot be read"),
        (without("chat_template.jinja"), "has no chat template; add chat_template.jinja, or"),
        (text("chat_template.jinja", "{% for m in %}"), "the chat template refuses"),
        (without("config.json"), "holds no config.json"),
        (text("config.json", "{"), "its config.json cannot be used"),
        (text("config.json", "[]"), "its config.json cannot be used"),
        (config(model_type="no_such"), "its config.json cannot be used"),
        (config(vocab_size=100), "has tokens up to number 288, the model's embedding 100 rows"),
        (config(vocab_size=999), "its weights lack model.embed_tokens.weight, or have them in"),
        (config(num_hidden_layers=3), "its weights lack model.layers.2"),
        (config(tie_word_embeddings=False), "its weights lack lm_head.weight"),
        (config(quantization_config={"quant_method": "gptq", "bits": 4}), "is quantised"),
        (tensors(lambda held: held.pop("model.norm.weight")), "its weights lack model.norm.weight"),
        (
            tensors(lambda held: held.update({"model.norm.weight": torch.ones(32).int()})),
            "model.norm.weight holds whole numbers",
        ),
        (pickled, "holds its weights as a pickle (pytorch_model.bin), which is never opened"),
        (without("model.safetensors"), "holds neither model.safetensors nor"),
        (cut_short, "a broken safetensors file: it ends after"),
    ],
)
def test_a_faulty_model_folder(
    tmp_path: Path, tiny_model: TinyModel, edit: Edit, line: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model(), model)
    edit(model)
    assert line in check(tmp_path, model)


def test_a_model_that_sees_ahead(tmp_path: Path, tiny_model: TinyModel, tokenizer: Any) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    made = AutoConfig.for_model("bert", vocab_size=320, intermediate_size=64, **shape)
    tokenizer.save_pretrained(tmp_path / "bert")
    for kind in (AutoModelForMaskedLM, AutoModelForCausalLM):  # by its architecture, by its config
        kind.from_config(made).save_pretrained(tmp_path / "bert")
        said = check(tmp_path, tmp_path / "bert")
        assert "is a bert, which sees the words after a word and cannot generate" in said
        assert "'is_decoder': true" in said


def test_tensors_without_a_place_are_named(tmp_path: Path, tiny_model: TinyModel) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model(), model)
    tensors(lambda held: held.update(extra=torch.ones(2)))(model)
    ended = onsa("check", write_recipe(tmp_path, model))
    assert "note: the model has no place for 1 tensors of its folder: extra" in ended.out


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: TinyModel) -> Path:
    """The folder of a recipe whose run is finished; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    ended = onsa("tune", write_recipe(folder, tiny_model()), "--quiet")
    assert (ended.code, ended.err) == (0, "")
    more = [{"prompt": f"more {n}", "completion": f"{n}"} for n in range(20)]
    write_rows(folder / "more.jsonl", more)
    (folder / "more.yaml").write_text(yaml.safe_dump({"tasks": [task("more")]}))
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    shutil.copytree(finished, tmp_path / "copied")
    return tmp_path / "copied"


def test_a_report_that_a_template_cannot_show(copied: Path) -> None:
    """A template's own error is no AttributeError of Python's."""
    path = copied / "run" / "report.json"
    path.write_text(json.dumps({**read_json(path), "versions": 1}), encoding="utf-8")
    said = onsa("report", copied / "run").refused()
    assert "report.json: is not as onsa wrote it (UndefinedError" in said


def test_an_output_that_is_taken(finished: Path, tmp_path: Path) -> None:
    before = files_below(finished)
    recipe = finished / "recipe.yaml"
    said = onsa("tune", recipe, "tasks.echo.name=other").refused()
    assert "holds another run (its tasks: echo, upper, not other, upper); choose another" in said
    (tmp_path / "thesis.doc").write_text("mine")
    assert "is not empty and holds no run" in onsa("tune", recipe, f"output={tmp_path}").refused()
    file = tmp_path / "thesis.doc"
    assert "Not a directory" in onsa("tune", recipe, f"output={file}").refused()
    assert "Not a directory" in onsa("tune", recipe, f"output={file}/x").refused()
    assert file.read_text() == "mine"
    assert files_below(finished) == before


def test_an_output_that_is_a_link_out_of_the_folder(tmp_path: Path, tiny_model: TinyModel) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "link").symlink_to(tmp_path)
    path = write_recipe(tmp_path / "home", tiny_model(), output="link/x")
    assert "leaves the recipe's folder" in onsa("tune", path).refused()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("file", "command", "line"),
    [
        ("report.json", "report", "report.json"),
        ("report.json", "add", "report.json"),
        ("state.json", "add", "state.json"),
        ("run.json", "tune", ""),
        ("model/config.json", "chat", "model"),
    ],
)
@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", "null", '{"a":' * 9999, "\0"])
def test_a_broken_file_in_a_run(
    copied: Path, file: str, command: str, line: str, content: str | None
) -> None:
    run = copied / "run"
    (run / file).unlink() if content is None else (run / file).write_text(content)
    arguments = {
        "report": [run],
        "add": [run, copied / "more.yaml", "--quiet"],
        "tune": [copied / "recipe.yaml", "--quiet"],
        "chat": [run],
    }[command]
    before = files_below(run)
    said = onsa(command, *arguments, stdin="hello\n").refused()
    assert line in said or "holds no finished" in said
    assert files_below(run) == before


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("model_folder", "/gone", "the base model is gone (/gone)"),
        ("weights", "gone", "no such folder"),
        ("cores", {"echo": "gone"}, "no such file"),
        ("additions", -1, "additions: should be greater than or equal to 0"),
        ("tasks", [{"name": "echo"}], "tasks.0.kind: missing"),
        ("recipes", [], "recipes: "),
    ],
)
def test_a_state_that_names_what_is_not_there(
    copied: Path, key: str, value: Any, line: str
) -> None:
    path = copied / "run" / "state.json"
    write_json(path, {**read_json(path), key: value})
    assert line in onsa("add", copied / "run", copied / "more.yaml").refused()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"method": "full"}, "'method' has no effect when tasks are added"),
        ({"output": "elsewhere"}, "'output' has no effect when tasks are added"),
        ({"stage_rows": 3}, "'stage_rows' has no effect when tasks are added"),
        ({"saliency": "adam"}, "needs a second moment"),
        ({"saliency": "updat"}, "did you mean 'update'?"),
        ({"replay": 1}, "replay: should be less than 1"),
        ({"tasks": [task("echo")]}, "the run has a task 'echo' already"),
        ({"tasks": [task("more", train="none.jsonl")]}, "no such file"),
        (
            {"tasks": [task("more", train="echo.jsonl", eval="more.jsonl")]},
            "task echo: 4 of 4 evaluation rows are training rows too",
        ),
    ],
)
def test_a_faulty_addition(copied: Path, changes: dict[str, Any], line: str) -> None:
    path = copied / "more.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    before = files_below(copied / "run")
    said = onsa("add", copied / "run", path, "--quiet").refused()
    assert line in said
    assert files_below(copied / "run") == before


@pytest.mark.parametrize(
    ("changes", "base", "line"),
    [
        ({}, "llama", "a tuned model that is no run needs 'output'"),
        ({"output": "../x"}, "llama", "leaves the recipe's folder"),
        ({"output": "new", "method": "full"}, "llama", "'method' has no effect when tasks are"),
        ({"output": "new", "core_sahre": 1}, "llama", "did you mean 'core_share'?"),
        ({"output": "run"}, "llama", "holds another run"),
        ({"output": "new"}, "none", "none: there is no such model folder"),
        ({"output": "new"}, "mistral", "is missing"),
    ],
)
def test_a_faulty_adoption(
    copied: Path, tiny_model: TinyModel, changes: dict[str, Any], base: str, line: str
) -> None:
    path = copied / "more.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    own = base if base == "none" else tiny_model(base)
    before = files_below(copied / "run")
    said = onsa("add", copied / "run" / "model", path, "--base", own, "--quiet").refused()
    assert line in said
    assert files_below(copied / "run") == before
    assert not (copied / "new" / "state.json").exists()


def test_what_a_killed_run_leaves_behind(copied: Path) -> None:
    run = copied / "run"
    whole = Weights(run / "model").digest
    for name in (".model.writing", "steps/full/.0123.partial", ".model.77.old"):
        (run / name).mkdir()
        (run / name / "half.safetensors").write_bytes(b"half")
    (run / ".report.json.77.writing").write_text("{")
    shutil.rmtree(run / "model")
    ended = onsa("tune", copied / "recipe.yaml")
    assert ended.code == 0
    assert "full: kept from before" in ended.err
    assert Weights(run / "model").digest == whole
    assert not (run / ".model.writing").exists()


def test_a_run_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"tasks": [task("more")]}))
    nowhere = tmp_path / "nowhere"
    assert "holds no finished run" in onsa("report", nowhere).refused()
    assert "holds no finished run" in onsa("add", nowhere, tmp_path / "more.yaml").refused()
    assert "holds no finished model" in onsa("chat", nowhere).refused()
    assert not nowhere.exists()


def test_a_loss_that_is_not_a_number(tmp_path: Path, tiny_model: TinyModel) -> None:
    path = write_recipe(
        tmp_path, tiny_model(), learning_rate=1e30, max_grad_norm=0, max_steps=6, tasks=TASKS
    )
    said = onsa("tune", path, "--quiet").refused()
    assert "at optimizer step" in said
    assert "(batch of " in said
    assert "echo" in said or "upper" in said
    kept = Path(said.rpartition("last good state: ")[2].strip())
    assert all(torch.isfinite(Weights(kept)[name]).all() for name in Weights(kept).names)
    assert not (tmp_path / "run" / "model").exists()
    mended = onsa("tune", path, "learning_rate=1e-3", "--quiet")
    assert (mended.code, mended.err) == (0, "")


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A file system in memory at `place`; the yielded function changes its options."""
    place.mkdir()

    def mount(options: str, *more: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, *more, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    try:
        mount(options)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    try:
        yield lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", ["8k", "200k", "330k"])
def test_a_full_disk_and_then_room(tmp_path: Path, tiny_model: TinyModel, size: str) -> None:
    path = write_recipe(tmp_path, tiny_model())
    with mounted(tmp_path / "small", f"size={size}") as change:
        said = onsa("tune", path, f"output={tmp_path}/small/run", "--quiet").refused()
        assert "disk is full" in said or "No space left on device" in said
        assert "start the same command again: finished steps are kept" in said
        change("size=20M")
        ended = onsa("tune", path, f"output={tmp_path}/small/run", "--quiet")
        assert (ended.code, ended.err) == (0, "")
        change("ro")
        said = onsa("tune", path, f"output={tmp_path}/small/other", "--quiet").refused()
        assert f"{tmp_path}/small/other: Read-only file system" in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)
GOOD = """\
model: m
output: runs/x
method: cpi_ft
baselines: [full, {method: multi_stage, stages: each, label: seq}]
core_share: 1%
overlap: 3x chance
order: [a, b]
learning_rate: 2e-4
tasks:
  - {name: a, kind: number, train: a.jsonl}
  - {name: b, train: b.jsonl, weight: 2}
"""


@given(st.data())
def test_recipes_as_torn_text(tmp_path: Path, data: st.DataObject) -> None:
    """Pieces cut out of a good recipe and others put in: a recipe, or one line."""
    content = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(start + 20, len(content))))
        piece = data.draw(st.sampled_from(["", "\n", ": ", "- ", "[", "{", "&a ", "*a", "!!", "0"]))
        piece += data.draw(st.text(max_size=4))
        content = content[:start] + piece + content[stop:]
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    one_line_or_fine(lambda: read_recipe(path))


OWN_KEYS = {key for method in method_settings().values() for key in method.model_fields}
KEYS = sorted(OWN_KEYS | set(Recipe.model_fields))


@given(st.dictionaries(st.sampled_from(KEYS), JSON, min_size=1, max_size=4))
def test_recipes_with_hostile_values(changes: dict[str, Any]) -> None:
    good = yaml.safe_load(GOOD)
    one_line_or_fine(lambda: carry_through(build_recipe({**good, **changes}, method_settings())))


def read_recipe(path: Path) -> None:
    carry_through(build_recipe(read_raw(path), method_settings()))


def carry_through(recipe: Recipe) -> None:
    """What is accepted stays accepted where it is used, and as it is kept."""
    all_methods()[recipe.method].settings(**recipe.settings)
    Recipe.model_validate_json(recipe.model_dump_json())
    json.dumps(identity(recipe))


def one_line_or_fine(action: Callable[[], Any]) -> None:
    try:
        action()
    except InputError as fault:
        assert "\n" not in str(fault)


def spoilt(data: st.DataObject, value: Any) -> Any:
    """The JSON value with something in it replaced."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 5)):
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = data.draw(st.sampled_from(keys))
        inside = spoilt(data, value[key])
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = inside
        return copy
    return data.draw(JSON)


@given(st.data())
def test_hostile_state(finished: Path, data: st.DataObject) -> None:
    with kept(finished / "run" / "state.json", data):
        one_line_or_fine(lambda: load_state(finished / "run"))


@given(st.data())
def test_hostile_report(finished: Path, data: st.DataObject) -> None:
    with kept(finished / "run" / "report.json", data):
        one_line_or_fine(lambda: read_report(finished / "run"))


@given(st.data())
def test_hostile_run_identity(finished: Path, data: st.DataObject) -> None:
    with kept(finished / "run" / "run.json", data) as found:
        given_now = {"model": "m", "tasks": ["echo", "upper"]}
        if found != given_now:
            with pytest.raises(InputError):
                claim_folder(finished / "run", given_now)


@contextmanager
def kept(path: Path, data: st.DataObject) -> Iterator[Any]:
    """The file spoilt, and as it was afterwards."""
    whole = path.read_bytes()
    value = spoilt(data, json.loads(whole))
    path.write_text(json.dumps(value), encoding="utf-8")
    try:
        yield value
    finally:
        path.write_bytes(whole)
