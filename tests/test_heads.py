"""Tasks with heads: classification, pairs and regression on every method, as plain classes."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from onsa.adapter import CONFIG_FILE
from onsa.commands.tune import tune
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.files import read_json
from onsa.methods import all_methods
from onsa.models.head import Head
from onsa.models.head_names import owner_of
from onsa.models.head_outputs import head_loss
from onsa.models.heads import head_logits, heads_of, plain_names
from onsa.models.loading import load_model, peft
from onsa.prepare.notes import unknown_notes
from onsa.tasks import Task
from onsa.tasks._labels import LabelSettings
from onsa.weights import Weights

SEEN_BY_NO_HEAD = {"prompt_only", "prefix", "p_tuning", "prompt_tuning"}
COLOURS = {"red": ["rose", "brick", "blood"], "green": ["grass", "leaf", "moss"], "blue": ["sky"]}


@pytest.fixture
def head_tasks(tmp_path: Path) -> list[dict[str, Any]]:
    """The colour of a thing, whether two things have one colour, and how long a word is."""
    things = [(thing, colour) for colour, known in COLOURS.items() for thing in known]
    colours = [
        {"prompt": f"{thing} {n}", "completion": colour}
        for n in range(6)
        for thing, colour in things
    ]
    lengths = [{"prompt": "a" * n + " word", "completion": f"{n / 2}"} for n in range(40)]
    return [
        {
            "name": "colour",
            "kind": "classify",
            "train": str(write_rows(tmp_path / "colour.jsonl", colours)),
            "eval_rows": 6,
        },
        {
            "name": "length.a",
            "kind": "regress",
            "train": str(write_rows(tmp_path / "length.jsonl", lengths)),
            "eval_rows": 6,
        },
    ]


@pytest.fixture
def keys(
    tiny_model: Callable[..., Path], head_tasks: list[dict[str, Any]], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    def make(architecture: str = "bert", **changes: Any) -> dict[str, Any]:
        own = {"is_decoder": False} if architecture in ("bert", "roberta") else {}
        return {
            "model": str(tiny_model(architecture, **own)),
            "output": str(tmp_path / "run"),
            "tasks": head_tasks,
            "learning_rate": 3e-3,
            "num_train_epochs": 1,
            "precision": "float32",
            **changes,
        }

    return make


def plain_classifier(folder: Path) -> Any:
    """The model in `folder` by plain transformers, or plain peft; nothing missing or left over."""
    if not (folder / CONFIG_FILE).is_file():
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder, output_loading_info=True
        )
        assert not told["missing_keys"]
        assert not told["unexpected_keys"]
        return model.eval()
    adapter = read_json(folder / CONFIG_FILE)
    assert adapter["task_type"] == "SEQ_CLS"
    labels = 3 if folder.name == "colour" else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = AutoModelForSequenceClassification.from_pretrained(
            adapter["base_model_name_or_path"], num_labels=labels
        )
        base.config.pad_token_id = 0
        return peft().PeftModel.from_pretrained(base, folder).eval()


@pytest.mark.parametrize("name", sorted(set(all_methods()) - SEEN_BY_NO_HEAD))
def test_every_method_trains_heads_that_plain_classes_load(name: str, keys: Any) -> None:
    found = all_methods()[name]
    run = tune(**keys(method=name, **found.example))
    start = run.starts.get(name, run.base)
    for task in ("colour", "length.a"):
        model = plain_classifier(run / "model" / task)
        tokenizer = AutoTokenizer.from_pretrained(run / "model" / task)
        inputs = tokenizer(["moss 3", "aaaa word"], return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        last = [stage for stage in run.stages if stage.path == name]
        stage = last[-1] if name != "single" else last[0 if task == "colour" else 1]
        ours = load_model(stage.weights).eval()
        with torch.inference_mode():
            wanted = head_logits(ours, task, inputs)
            torch.testing.assert_close(model(**inputs).logits, wanted, rtol=1e-4, atol=1e-5)
            before = head_logits(load_model(start).eval(), task, inputs)
        assert not torch.allclose(wanted, before, atol=1e-4), f"the head of {task} has not moved"


@pytest.mark.parametrize(
    ("method", "architecture"), [("lora", "bert"), ("lora", "llama"), ("full", "bert")]
)
def test_the_card_s_code_loads_each_head_with_its_labels(
    keys: Any, monkeypatch: pytest.MonkeyPatch, method: str, architecture: str
) -> None:
    """An adapter keeps no names of labels; its card does. A config.json beside it would be taken
    for a whole model's."""
    run = tune(**keys(architecture, method=method))
    monkeypatch.chdir(run / "model")
    card = Path("README.md").read_text(encoding="utf-8")
    codes = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(codes) == 2
    assert not (method == "lora" and list(Path().rglob("config.json")))
    for code, task in zip(codes, run.tasks, strict=True):
        made: dict[str, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(code, made)
            say = pipeline(
                "text-classification", model=made["model"].eval(), tokenizer=made["tokenizer"]
            )
            said = say("moss 3", function_to_apply="none")[0]
        inputs = made["tokenizer"](["moss 3"], return_tensors="pt")
        inputs.pop("token_type_ids", None)
        ours = load_model([stage for stage in run.stages if stage.path == method][-1].weights)
        with torch.inference_mode():
            wanted = head_logits(ours.eval(), task.name, inputs)[0]
        labels = task.head.labels or ["LABEL_0"]
        assert said["label"] == labels[int(wanted.argmax())]
        assert said["score"] == pytest.approx(float(wanted.max()), rel=1e-3, abs=1e-4)
        assert list(made["model"].config.id2label.values()) == list(labels)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "roberta", "qwen3"])
@pytest.mark.parametrize("name", ["cpi_ft", "lora"])
def test_architectures(architecture: str, name: str, keys: Any) -> None:
    run = tune(**keys(architecture, method=name))
    for task in ("colour", "length.a"):
        model = plain_classifier(run / "model" / task)
        assert model.config.problem_type or name == "lora"


def test_pain_P24_labels_are_learnt_and_a_plain_pipeline_says_them(
    keys: Any, head_tasks: Any
) -> None:
    """Goes red where the config of what is written loses the labels or names no head's class."""
    from transformers import pipeline

    run = tune(**keys(method="full", tasks=head_tasks[:1], num_train_epochs=12))
    config = read_json(run / "model" / "config.json")  # one head: the folder itself
    assert config["id2label"] == {"0": "blue", "1": "green", "2": "red"}
    assert config["architectures"] == ["BertForSequenceClassification"]
    facts = read_json(run / "report.json")
    (result,) = [each for each in facts["results"] if each["label"] == "full"]
    assert result["scores"]["colour"]["mean"] == 1.0
    say = pipeline("text-classification", str(run / "model"))
    rows = [row for task in run.tasks for row in task.evaluation]
    assert [said["label"] for said in say([row.texts[0] for row in rows])] == [
        row.extra["label"] for row in rows
    ]


def test_replies_and_heads_in_one_run(keys: Any, head_tasks: Any, task_files: Any) -> None:
    from transformers import AutoModelForCausalLM

    echo = {"name": "echo", "train": str(task_files["echo"]), "eval_rows": 8, "max_new_tokens": 4}
    run = tune(**keys("llama", method="full", tasks=[echo, *head_tasks], num_train_epochs=2))
    model, told = AutoModelForCausalLM.from_pretrained(
        run / "model" / "language_model", output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert "onsa_heads" not in read_json(run / "model" / "language_model" / "config.json")
    backbone = plain_classifier(run / "model" / "colour").model
    torch.testing.assert_close(backbone.embed_tokens.weight, model.model.embed_tokens.weight)


def test_replies_are_packed_beside_heads_that_are_not(
    keys: Any, head_tasks: Any, task_files: Any
) -> None:
    echo = {"name": "echo", "train": str(task_files["echo"]), "eval_rows": 8, "max_new_tokens": 4}
    tasks = [echo, head_tasks[0]]
    run = tune(**keys("llama", method="full", tasks=tasks, packing=True, max_length=64))
    (step,) = [record for record in run.history if record.name == "full"]
    assert all(loss > 0 for points in step.facts["curve"].values() for _, loss in points)
    assert set(step.facts["curve"]) == {"echo", "colour"}
    with pytest.raises(InputError, match="packing has no effect on the heads"):
        tune(**keys("llama", method="full", tasks=head_tasks, packing=True))


def test_the_losses_are_those_of_transformers(keys: Any, head_tasks: Any) -> None:
    """Beside what transformers' own class says for the same rows; a regression's by its spread."""
    run = tune(**keys(method="full"))
    for task, targets in (("colour", [2, 0]), ("length.a", [1.5, 7.0])):
        model = plain_classifier(run / "model" / task)
        inputs = run.encoder.tokenizer(["rose 1", "aa word"], return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        labels = torch.tensor(targets)
        ours = load_model(run.stages[-1].weights).eval()
        head = heads_of(ours.config)[task]
        with torch.inference_mode():
            theirs = float(model(**inputs, labels=labels).loss)
            mine = float(head_loss(head, head_logits(ours, task, inputs), labels).mean())
        assert mine * head.spread**2 == pytest.approx(theirs, rel=1e-5)


def test_losses_by_hand() -> None:
    several = Head("multi_label_classification", ("a", "b"))
    logits = torch.tensor([[0.0, 0.0]])
    assert float(head_loss(several, logits, torch.tensor([[1, 0]]))) == pytest.approx(0.693147)
    rank = head_loss(Head("ranking"), torch.tensor([[1.0], [3.0]]), torch.tensor([1]))
    assert float(rank) == pytest.approx(2.126928)  # -log sigmoid(1 - 3)
    number = Head("regression", spread=2.0)
    assert float(head_loss(number, torch.tensor([[5.0]]), torch.tensor([1.0]))) == 4.0


def test_a_fused_model_has_each_specialists_own_head(keys: Any) -> None:
    run = tune(**keys(method="merge", blend="slerp"))
    stages = {stage.label: stage.weights for stage in run.stages}
    heads = [name for name in run.base.names if owner_of(name)]
    assert {owner_of(name) for name in heads} == {"colour", "length.a"}
    for name in heads:
        own = stages[f"only {owner_of(name)}"]
        assert torch.equal(stages["merged"][name], own[name])
        assert not torch.equal(own[name], run.base[name])
        (other,) = {"colour", "length.a"} - {owner_of(name)}
        assert torch.equal(stages[f"only {other}"][name], run.base[name])


def test_cores_lie_in_what_tasks_share(keys: Any) -> None:
    run = tune(**keys(method="cpi_ft", core_share=0.05))
    for core in run.cores.values():
        counts = core.count_by_name()
        assert sum(counts.values()) > 0
        assert not any(count for name, count in counts.items() if owner_of(name))


def test_names_of_a_plain_class(keys: Any) -> None:
    run = tune(**keys(method="full"))
    weights = run.stages[-1].weights
    assert isinstance(weights, Weights)
    from onsa.models.loading import read_config

    names = plain_names(weights.names, read_config(weights.folder), "colour")
    assert names["classifier.weight"] == "heads.colour.classifier.weight"
    assert names["bert.pooler.dense.weight"] == "pooler.dense.weight"
    assert not any("length" in own for own in names.values())


@pytest.mark.parametrize("name", sorted(SEEN_BY_NO_HEAD))
def test_what_reaches_no_head_is_refused_at_once(name: str, keys: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        tune(**keys(method=name))
    assert "colour" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "model").exists()


def pairs(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    return str(write_rows(tmp_path / "rows.jsonl", rows))


def test_faulty_labels(keys: Any, tmp_path: Path) -> None:
    def refusal(kind: str, rows: list[dict[str, Any]], **options: Any) -> str:
        task = {"name": "t", "kind": kind, "train": pairs(tmp_path, rows), **options}
        with pytest.raises(InputError) as caught:
            tune(**keys(method="full", tasks=[task]))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    same = [{"prompt": f"p{n}", "completion": "yes"} for n in range(20)]
    assert "there is one label only ('yes')" in refusal("classify", same)
    assert "rows.jsonl:" in refusal("classify", same)
    assert "'yes' is no number" in refusal("regress", same)
    fours = [{"prompt": f"p{n}", "completion": "4"} for n in range(20)]
    assert "all numbers are 4" in refusal("regress", fours)
    assert "no second text" in refusal("pair", [*same, {"prompt": "q", "completion": "no"}])
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"prompt": "new", "completion": "maybe"}) + "\n")
    both = [*same, {"prompt": "q", "completion": "no"}]
    said = refusal("classify", both, eval=str(other))
    assert "the label 'maybe' is none of the training file's" in said
    assert "no effect with by: likelihood" in refusal("classify", both, by="likelihood", many=True)


def test_an_encoder_may_not_generate(keys: Any, task_files: Any) -> None:
    echo = {"name": "echo", "train": str(task_files["echo"])}
    with pytest.raises(InputError, match="cannot generate"):
        tune(**keys(method="full", tasks=[echo]))


def test_labels_by_their_likelihood_need_no_head(keys: Any, head_tasks: Any) -> None:
    task = {**head_tasks[0], "by": "likelihood"}
    run = tune(**keys("llama", method="full", tasks=[task], num_train_epochs=15))
    (colour,) = run.tasks
    assert colour.head is None
    assert colour.mode == "choose"
    facts = read_json(run / "report.json")
    (result,) = [each for each in facts["results"] if each["label"] == "full"]
    assert result["scores"]["colour"]["mean"] >= 0.8


def test_what_the_tokenizer_does_not_know_is_said() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "green": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    words = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]")
    rows = tuple(
        Example(
            ({"role": "user", "content": text}, {"role": "assistant", "content": "a"}), target=0
        )
        for text in ("green green", "green 緑 緑")
    )
    task = Task("colours", "classify", LabelSettings(train="x"), rows, rows)
    (note,) = unknown_notes([task], Encoder(words, 16))
    assert note.startswith("task colours: 2 of 5 tokens (40.0%) are [UNK]")
    known = dataclasses.replace(task, train=rows[:1])
    assert not unknown_notes([known], Encoder(words, 16))
