"""Tasks of lm-evaluation-harness: its figures are ours, row by row, and nothing of it runs unasked.

The tasks are small files of our own. Where the library is not installed most tests are left out and
say so: `make test` does not install it (22 packages, two of them built first: half a minute).
`pip install -c constraints.txt -e '.[lm_eval]'` brings them in.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForCausalLM

from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.evaluation.answers import Answering
from onsa.files import read_json
from onsa.tasks import Task, load_task
from tests.command_line import onsa, task, write_recipe
from tests.conftest import write_rows

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm_eval is not installed (pip install 'onsa[lm_eval]')",
)
pytestmark = pytest.mark.filterwarnings("ignore")  # those of the library, and of what it uses

TinyModel = Callable[..., Path]
ROWS = 12
WORDS = ["again", "the word", "say", "user", "system", "assistant say", "a", "es", "ay the"]


def rows() -> list[dict[str, Any]]:
    """Questions whose choices have several lengths, so that acc and acc_norm differ."""
    made = []
    for number in range(3 * ROWS):
        choices = [WORDS[(number * 5 + at * (1 + number % 4)) % len(WORDS)] for at in range(4)]
        question = f"{WORDS[number % 9]} {WORDS[(number * 7) % 9]}? "
        made.append({"question": question * (1 + number % 3), "choices": choices,
                     "gold": number % 4, "answer": WORDS[number % 9]})  # fmt: skip
    return made


TASKS: dict[str, dict[str, Any]] = {
    "tiny_choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_target": "gold",
        "doc_to_choice": "choices",
        "tag": "tiny_tag",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True}
            for name in ("acc", "acc_norm")
        ],
    },
    "tiny_text": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["y", "\n\n"], "max_gen_toks": 12, "do_sample": False},
        "filter_list": [
            {"name": name, "filter": [{"function": "regex", "regex_pattern": pattern},
                                      {"function": "take_first"}]}
            for name, pattern in (("first", "(.)"), ("whole", "(.*)"))
        ],
        "metric_list": [
            {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True,
             "ignore_case": True}
        ],
    },
    "tiny_plain": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question * 30}}",
        "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    },
    "tiny_last": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{question}} ",
        "doc_to_target": "{{answer}}",
        "metric_list": [
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        ],
    },
    "tiny_unsafe": {"output_type": "generate_until", "unsafe_code": True},
    "tiny_code": {"output_type": "multiple_choice", "doc_to_text": "x"},
    "tiny_hub": {"output_type": "multiple_choice", "dataset_path": "nobody/nothing"},
    "tiny_f1": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_target": "gold",
        "doc_to_choice": "choices",
        "metric_list": [{"metric": "f1", "aggregation": "f1", "higher_is_better": True}],
    },
    "tiny_translation": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 12, "do_sample": False},
        "metric_list": [{"metric": "bleu"}, {"metric": "ter"}, {"metric": "chrf"}],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `mine`, task files and their data; whoever starts onsa is somewhere else."""
    folder = tmp_path_factory.mktemp("lm_eval")
    mine = folder / "mine"
    mine.mkdir()
    write_rows(mine / "rows.jsonl", rows()[:ROWS])
    write_rows(mine / "shots.jsonl", rows()[ROWS:])
    data = {
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": "rows.jsonl", "train": "shots.jsonl"},
            "cache_dir": str(folder / "cache"),
        },
        "test_split": "test",
        "fewshot_split": "train",
    }
    for name, own in TASKS.items():
        keys = {"task": name, **data, **own}
        if name == "tiny_hub":
            del keys["dataset_kwargs"]
        text = yaml.safe_dump(keys)
        if name == "tiny_code":
            text += "doc_to_target: !function code.gold\n"
        (mine / f"{name}.yaml").write_text(text)
    (mine / "code.py").write_text("raise SystemExit('ran')\n")
    group = {"group": "tiny_group", "task": ["tiny_choice", "tiny_text"]}
    (mine / "group.yaml").write_text(yaml.safe_dump(group))
    return folder


def load(home: Path, name: str, **settings: Any) -> Task:
    return load_task("t", f"lm_eval:{name}", {"include_path": "mine", **settings}, home, 0)


def refused(home: Path, name: str, **settings: Any) -> str:
    with pytest.raises(InputError) as fault:
        load(home, name, **settings)
    assert fault.value.way_out
    return str(fault.value)


def harness(home: Path, model: Path, name: str, **how: Any) -> dict[str, Any]:
    """What the library itself finds, with its own class for Hugging Face models."""
    import lm_eval.evaluator as library
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home / "mine")  # the library takes paths of data from where it is started
        patch.setattr(library, "add_env_info", lambda found: None)  # it asks pip: seconds
        manager = TaskManager(include_path=str(home / "mine"), include_defaults=False)
        lm = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=5)
        found = library.simple_evaluate(
            lm, tasks=[name], task_manager=manager, bootstrap_iters=0, **how
        )
    assert found is not None
    return dict(found)


def evaluated(home: Path, model: Path, **tasks: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and rows of `onsa eval` on tasks of `mine`."""
    path = write_recipe(
        home, model, output="-".join([model.parent.name, *tasks]),
        tasks=[{"name": name, "include_path": "mine", **keys} for name, keys in tasks.items()],
    )  # fmt: skip
    done = onsa("eval", model, path, "-q", "--json")
    assert done.code == 0, done
    facts = json.loads(done.out)
    folder = home / "-".join([model.parent.name, *tasks, "eval"])
    return facts["results"][0], read_json(folder / "rows.json")


def by_row(found: dict[str, Any], name: str, metric: str, filtered: str = "none") -> list[float]:
    samples = [each for each in found["samples"][name] if each["filter"] == filtered]
    return [float(each[metric]) for each in sorted(samples, key=lambda each: each["doc_id"])]


@needs_library
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_choices_are_scored_as_the_library_scores_them(
    home: Path, tiny_model: TinyModel, architecture: str
) -> None:
    """Red when contexts and continuations are cut into tokens elsewhere, sums become means, or
    acc_norm divides by something else. Five examples before each question, other ones for another
    row."""
    model = tiny_model(architecture)
    found, told = evaluated(
        home, model,
        plain={"kind": "lm_eval:tiny_choice"},
        norm={"kind": "lm_eval:tiny_choice", "metric": "acc_norm", "num_fewshot": 5},
    )  # fmt: skip
    label = next(iter(told["scores"]))
    ours = {name: each["scores"] for name, each in told["scores"][label]["0"].items()}
    plain = harness(home, model, "tiny_choice")
    norm = harness(home, model, "tiny_choice", num_fewshot=5)
    assert ours["plain"] == by_row(plain, "tiny_choice", "acc")
    assert ours["norm"] == by_row(norm, "tiny_choice", "acc_norm")
    for name, theirs in (("plain", plain), ("norm", norm)):
        for metric in ("acc", "acc_norm"):
            want = theirs["results"]["tiny_choice"][f"{metric},none"]
            assert found["measures"][name][metric]["mean"] == pytest.approx(want)
    assert found["scores"]["plain"]["low"] is not None


@needs_library
def test_texts_are_generated_as_the_library_generates_them(
    home: Path, tiny_model: TinyModel
) -> None:
    """Red when a text goes on behind a stop string, or replies are stripped before the filters."""
    model = tiny_model("llama", initializer_range=0.5)
    found, told = evaluated(
        home, model, text={"kind": "lm_eval:tiny_text", "metric": "exact_match,whole"}
    )
    theirs = harness(home, model, "tiny_text")
    samples = [each for each in theirs["samples"]["tiny_text"] if each["filter"] == "whole"]
    label = next(iter(told["scores"]))
    said = told["scores"][label]["0"]["text"]
    assert said["replies"] == [each["resps"][0][0] for each in samples]
    assert len(set(said["replies"])) > 3
    assert said["scores"] == by_row(theirs, "tiny_text", "exact_match", "whole")
    for name in ("first", "whole"):
        want = theirs["results"]["tiny_text"][f"exact_match,{name}"]
        figure = found["measures"]["text"][f"exact_match ({name})"]
        assert figure["mean"] == pytest.approx(want)


@needs_library
@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter"])
def test_translations_are_scored_by_row_and_together(
    home: Path, tiny_model: TinyModel, metric: str
) -> None:
    """Red when the mean over rows stands under the name of the library's figure of all rows."""
    import sacrebleu

    by_sacrebleu = {
        "bleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf, "ter": sacrebleu.corpus_ter
    }[metric]  # fmt: skip
    model = tiny_model("llama", initializer_range=0.5)
    asked = {"kind": "lm_eval:tiny_translation", "metric": metric}
    found, told = evaluated(home, model, **{metric: asked})
    theirs = harness(home, model, "tiny_translation")["results"]["tiny_translation"]
    figures = found["measures"][metric]
    assert f"{metric} by row" not in figures
    for name in ("bleu", "chrf", "ter"):
        assert figures[name]["mean"] == pytest.approx(theirs[f"{name},none"])
    label = next(iter(told["scores"]))
    said = told["scores"][label]["0"][metric]
    answers = [str(row["answer"]) for row in rows()[:ROWS]]
    one_by_one = [
        by_sacrebleu([reply], [[answer]]).score
        for reply, answer in zip(said["replies"], answers, strict=True)
    ]
    assert said["scores"] == pytest.approx(one_by_one)
    assert told["tasks"][metric]["metric"] == f"{metric} by row"
    assert told["tasks"][metric]["higher_is_better"] is (metric != "ter")
    assert found["scores"][metric]["low"] < found["scores"][metric]["high"]


@needs_library
def test_likelihoods_of_texts_are_the_library_s(home: Path, tiny_model: TinyModel) -> None:
    """Red when a text that is longer than the model's positions is cut, or its windows differ."""
    model = tiny_model("llama", max_position_embeddings=64)
    found, told = evaluated(
        home, model,
        plain={"kind": "lm_eval:tiny_plain"}, last={"kind": "lm_eval:tiny_last"},
    )  # fmt: skip
    plain, last = (harness(home, model, name) for name in ("tiny_plain", "tiny_last"))
    for name, theirs, key in (("plain", plain, "tiny_plain"), ("last", last, "tiny_last")):
        for metric, figure in found["measures"][name].items():
            want = theirs["results"][key][f"{metric},none"]
            assert figure["mean"] == pytest.approx(want, rel=1e-4), metric
    label = next(iter(told["scores"]))
    assert told["scores"][label]["0"]["last"]["scores"] == by_row(last, "tiny_last", "acc")
    assert told["tasks"]["plain"]["higher_is_better"] is False


@needs_library
def test_a_chat_template_writes_the_questions(home: Path, tiny_model: TinyModel) -> None:
    """Red when the model is asked in plain text all the same, or examples are no turns."""
    model = tiny_model("llama")
    settings = {"kind": "lm_eval:tiny_choice", "apply_chat_template": True, "num_fewshot": 2}
    _, told = evaluated(home, model, chat={**settings, "system_instruction": "Be brief."})
    theirs = harness(
        home, model, "tiny_choice",
        apply_chat_template=True, num_fewshot=2, system_instruction="Be brief.",
    )  # fmt: skip
    label = next(iter(told["scores"]))
    assert told["scores"][label]["0"]["chat"]["scores"] == by_row(theirs, "tiny_choice", "acc")
    settings = {name: settings[name] for name in settings if name != "kind"}
    first = load(home, "tiny_choice", **settings).evaluation[0].extra["requests"][0]["context"]
    assert [turn["role"] for turn in first["messages"]] == ["user", "assistant"] * 2 + ["user"]


@needs_library
def test_it_is_scored_beside_trained_tasks_and_shown_by_check(
    home: Path, tiny_model: TinyModel
) -> None:
    """Red when such a row is encoded as a conversation, or answers are shown as JSON."""
    asked = {"name": "asked", "kind": "lm_eval:tiny_choice", "include_path": "mine", "eval_rows": 5}
    path = write_recipe(
        home, tiny_model(), output="tuned", learning_rate=0.1, max_steps=4, untrained_tasks=[asked]
    )
    shown = " ".join(onsa("check", path).out.split())
    assert "lm_eval:tiny_choice" in shown
    assert "the first 5 of 12 rows of 'test'" in shown
    assert "Answer:⟦ again⟧" in shown
    assert onsa("tune", path, "-q").code == 0
    report = read_json(home / "tuned" / "report.json")
    scores = [each["scores"]["asked"] for each in report["untrained"]["results"]]
    assert {score["n"] for score in scores} == {5}
    assert len(scores) >= 2
    replies = read_json(home / "tuned" / "rows.json")["scores"]
    choices = {choice for row in rows() for choice in row["choices"]}
    assert {
        reply for each in replies.values() for reply in each["0"]["asked"]["replies"]
    } <= choices


@needs_library
@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("tiny_choise", {}, "no task 'tiny_choise'; did you mean 'tiny_choice'?"),
        ("tiny_group", {}, "is a group of tasks"),
        ("tiny_tag", {}, "is a group of tasks"),
        ("tiny_unsafe", {}, "runs programs that the model writes"),
        ("tiny_code", {}, "names Python code of its own"),
        ("tiny_hub", {}, "cannot be loaded"),
        ("tiny_f1", {}, "none of its metrics (f1) is a figure of one row"),
        ("tiny_choice", {"metric": "acc_nrom"}, "did you mean 'acc_norm,none'?"),
        ("tiny_choice", {"eval_rows": 13}, "eval_rows is 13, and there are 12"),
        ("tiny_choice", {"include_path": "none"}, "is no folder"),
        ("tiny_choice", {"task": "tiny_text"}, "task is said twice"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    home: Path, name: str, settings: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The index of all the library's own tasks takes half a minute.
    monkeypatch.setattr("onsa.tasks._harness._folder_of", lambda name: str(home / "mine"))
    own = __import__("onsa.tasks._harness", fromlist=["_manager"])._manager
    monkeypatch.setattr(
        "onsa.tasks._harness._manager", lambda folder: own(folder or str(home / "mine"))
    )
    assert said in refused(home, name, **settings)


@needs_library
def test_code_of_a_task_folder_is_not_run_unasked(home: Path) -> None:
    """Red when a task file's Python code runs without `trust_remote_code: true`."""
    refused(home, "tiny_code")
    with pytest.raises(SystemExit, match="ran"):
        load(home, "tiny_code", trust_remote_code=True)


def test_tasks_that_are_scored_only_are_not_trained_on(
    tmp_path: Path, tiny_model: TinyModel
) -> None:
    """Said before anything is loaded, with or without the library."""
    asked = {"name": "arc", "kind": "lm_eval:arc_easy"}
    path = write_recipe(tmp_path, tiny_model(), tasks=[task("echo"), asked])
    assert "put it under 'untrained_tasks:'" in onsa("check", path).refused()


def test_without_the_library_it_says_how_to_get_it(
    tmp_path: Path, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "lm_eval"] or ["lm_eval"]:
        monkeypatch.setitem(sys.modules, name, None)
    path = write_recipe(
        tmp_path, tiny_model(), untrained_tasks=[{"name": "arc", "kind": "lm_eval:arc_easy"}]
    )
    assert "pip install 'onsa[lm_eval]'" in onsa("check", path).refused()


def test_no_other_kind_takes_a_name_after_a_colon(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing follows 'generate' after a colon"):
        load_task("t", "generate:arc", {"train": "x.jsonl"}, tmp_path, 0)


def request(**changes: Any) -> dict[str, Any]:
    keys = {"kind": "loglikelihood", "context": "", "continuation": "", "how": {}, "times": 1}
    return {**keys, **changes}


def answers(model: Any, tokenizer: Any, batch_size: int, *asked: dict[str, Any]) -> list[Any]:
    examples = [Example((), {"requests": [each]}) for each in asked]
    answering = Answering(model, Encoder(tokenizer, 512), batch_size)
    return [json.loads(each)[0] for each in answering.answers(examples, lambda count: None)]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "roberta", "gemma3_text"])
def test_answers_do_not_depend_on_their_batch(
    tiny_model: TinyModel, tokenizer: Any, architecture: str
) -> None:
    """Red when padding is read, or a row's sum has another row's tokens."""
    model = AutoModelForCausalLM.from_pretrained(
        tiny_model(architecture, initializer_range=0.3), torch_dtype="float32"
    ).eval()
    pairs = [(WORDS[n % 9] * (n + 1), f" {WORDS[(n * 4) % 9]}") for n in range(7)]
    asked = [request(context=one, continuation=two) for one, two in [*pairs, ("", "say it")]]
    how = {"until": ["e"], "max_gen_toks": 6, "do_sample": False}
    asked += [request(kind="generate_until", context=one, how=how) for one, _ in pairs]
    together, alone = (answers(model, tokenizer, size, *asked) for size in (6, 1))
    for ours, own in zip(together, alone, strict=True):
        assert ours[0] == own[0] if isinstance(ours[0], str) else ours[0] == [
            pytest.approx(own[0][0], abs=1e-4), own[0][1]
        ]  # fmt: skip
    ids = tokenizer(pairs[2][0] + pairs[2][1], return_tensors="pt").input_ids
    before = len(tokenizer(pairs[2][0]).input_ids)
    logarithms = model(ids).logits.log_softmax(-1)[0]
    want = sum(logarithms[at - 1, ids[0, at]] for at in range(before, ids.shape[1]))
    assert together[2][0][0] == pytest.approx(float(want), abs=1e-4)
    assert not any("e" in each[0] for each in together[8:])
