"""One table for all kinds of task, and what each does of its own."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.example import Example
from onsa.data.overlap import prompt_key
from onsa.errors import InputError
from onsa.extras import import_extra
from onsa.tasks import Task, all_kinds, find_kind, load_task
from onsa.tasks.choose import letter_in
from tests.shared_data import SHARED, needs_shared_data

needs_gym = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("reasoning_gym"),
    reason="reasoning-gym is not installed (extra demo)",
)
needs_posix = pytest.mark.skipif(os.name != "posix", reason="replies are run on POSIX only")
needs_sacrebleu = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("sacrebleu"),
    reason="sacrebleu is not installed (extra text)",
)

WORDS = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
TEXTS = [{"prompt": f"again {word}", "completion": word} for word in WORDS]
JAPANESE = [{"prompt": word, "completion": f"{word}, と言う!"} for word in WORDS]
ROWS: dict[str, list[dict[str, Any]]] = {
    "generate": TEXTS,
    "loss": TEXTS,
    "code": [
        {
            "prompt": f"def {word}(x):\n    ",
            "canonical_solution": f"    return x + {n}",
            "test": f"def check(f):\n    assert f(1) == {n + 1}",
            "entry_point": word,
        }
        for n, word in enumerate(WORDS[:12])
    ],
    "judge": TEXTS,
    "judge_pairs": TEXTS,
    "codebleu": [{"prompt": w, "completion": f"def {w}(x):\n    return x"} for w in WORDS],
    "rouge": JAPANESE,
    "bleu": JAPANESE,
    "chrf": JAPANESE,
    "number": [{"question": f"{n}+1?", "answer": f"...\n#### {n + 1:,}"} for n in range(990, 1050)],
    "choose": [
        {"question": f"which, {word}?", "options": ["x", "y", word], "answer": n % 3}
        for n, word in enumerate(WORDS)
    ],
    "classify": [{"text": word, "label": word[1]} for word in WORDS],
    "pair": [
        {"sentence1": word, "sentence2": word[::-1], "label": f"same {n % 2}"}
        for n, word in enumerate(WORDS)
    ],
    "regress": [{"text": word, "label": n / 4} for n, word in enumerate(WORDS)],
    "rank": [{"prompt": f"say {word}", "chosen": word, "rejected": "zz"} for word in WORDS],
}
NOBODY = {"endpoint": "http://127.0.0.1:9/v1", "judge_model": "j"}
JUDGES = {"judge": NOBODY, "judge_pairs": NOBODY}
KINDS = [
    pytest.param(name, marks=marks)
    for name, marks in (
        ("generate", ()),
        ("loss", ()),
        ("number", ()),
        ("choose", ()),
        ("classify", ()),
        ("pair", ()),
        ("regress", ()),
        ("rank", ()),
        ("code", needs_posix),
        ("codebleu", ()),
        ("judge", ()),
        ("judge_pairs", ()),
        ("rouge", ()),
        ("bleu", needs_sacrebleu),
        ("chrf", needs_sacrebleu),
        ("reasoning_gym", needs_gym),
    )
]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Task]:
    """Load a small task of a kind: `load("number", eval_rows=5, seed=1)`."""

    def make(kind: str, *, seed: int = 0, weight: float = 1.0, **options: Any) -> Task:
        if kind == "reasoning_gym":
            options = {"dataset": "chain_sum", "train_rows": 30, "eval_rows": 10, **options}
        else:
            rows = "".join(json.dumps(row) + "\n" for row in ROWS[kind])
            (tmp_path / f"{kind}.jsonl").write_text(rows)
            options = {"train": f"{kind}.jsonl", **JUDGES.get(kind, {}), **options}
        return load_task("mine", kind, options, tmp_path, seed, weight)

    return make


def refusal(load: Callable[..., Task], kind: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(kind, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("task mine")
    return str(caught.value)


# --- what every kind keeps ---------------------------------------------------------------------


def test_every_kind_is_in_the_table() -> None:
    """But for kinds that are scored only, which have tests of their own (test_lm_eval.py)."""
    trained = {name for name, kind in all_kinds().items() if kind.trains}
    assert {param.values[0] for param in KINDS} == trained
    for name, kind in all_kinds().items():
        assert kind.summary.endswith(".")
        without_score = kind.mode == "loss" or name in JUDGES or not kind.trains
        assert (kind.score is None) == without_score
        assert (kind.score is None) <= (kind.mode == "loss" or kind.score_all is not None)
        generates = kind.mode in ("generate", "requests") or name == "choose"
        assert ("max_new_tokens" in kind.settings.model_fields) == generates
        assert all(field.description for field in kind.settings.model_fields.values()), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_scores_1_and_nothing_0(kind: str, load: Any) -> None:
    task = load(kind)
    if find_kind(kind).score is None:
        return
    for example in (*task.train, *task.evaluation):
        assert task.score(example.reply, example) == 1.0
        assert task.score(f"  {example.reply}\n", example) == 1.0
        assert task.score("", example) == 0.0
        assert task.score(" \n", example) == 0.0


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"), ("(B)", "B"), ("B. because A is wrong", "B"), ("The answer is B", "B"),
        ("A good question; the answer is (C).", "C"), ("答えはDです", "D"), ("正解：A", "A"),
        ("I think it's C", "C"), ("E", None), ("none", None), ("", None), ("**B**", "B"),
        ("BAD", None), ("b", None),
    ],
)  # fmt: skip
def test_the_letter_in_a_reply(reply: str, letter: str | None) -> None:
    assert letter_in(reply, "ABCD") == letter


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.values != ("code",)])  # it runs
@given(reply=st.text())
def test_any_reply_has_a_score(kind: str, reply: str) -> None:
    example = Example(
        ({"role": "user", "content": "4 - 5"}, {"role": "assistant", "content": "-1"}),
        {
            "choices": ["-1", "B"],
            "answer": "-1",
            "entry": {"answer": "-1", "metadata": {}},
            "label": -1.0 if kind == "regress" else "-1",
            "scale": [-5, 5],
        },
    )
    if find_kind(kind).score is None:
        return
    values = {"dataset": "chain_sum"} if kind == "reasoning_gym" else {"train": "x"}
    kind_settings = all_kinds()[kind].settings(**values)
    task = Task("mine", kind, kind_settings, (example,), (example,))
    if task.mode != "loss":
        assert 0.0 <= task.score(reply, example) <= 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_train_and_evaluation_are_disjoint_and_seeded(kind: str, load: Any) -> None:
    task = load(kind, seed=3)
    trained = {prompt_key(example) for example in task.train}
    assert not trained & {prompt_key(example) for example in task.evaluation}
    assert task.train
    assert task.evaluation
    same = load(kind, seed=3)
    assert (same.train, same.evaluation) == (task.train, task.evaluation)
    assert same.digest == task.digest
    assert load(kind, seed=4).evaluation != task.evaluation


@pytest.mark.parametrize("kind", KINDS)
def test_rows_travel_as_json(kind: str, load: Any) -> None:
    task = load(kind)
    for example in (*task.train, *task.evaluation):
        assert json.loads(json.dumps(example.extra, allow_nan=False)) == example.extra
        assert example.source
        assert example.messages[-1]["role"] == "assistant"


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_settings_are_refused(kind: str, load: Any) -> None:
    assert "did you mean 'train_rows'?" in refusal(load, kind, train_row=5)
    for wrong in ("many", 0, -1, True, 2.5):
        assert "train_rows" in refusal(load, kind, train_rows=wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_the_digest_tells_tasks_apart(kind: str, load: Any) -> None:
    task = load(kind, eval_rows=9)
    others = [
        dataclasses.replace(task, name="other"),
        dataclasses.replace(task, weight=2.0),
        dataclasses.replace(task, train=task.train[1:]),
        dataclasses.replace(task, evaluation=task.evaluation[::-1]),
        load(kind, eval_rows=8),
    ]
    if task.mode == "generate":
        others.append(load(kind, eval_rows=9, max_new_tokens=7))
    digests = {other.digest for other in (task, *others)}
    assert len(digests) == 1 + len(others)
    assert dataclasses.replace(task, notes=("n",)).digest == task.digest


def test_the_digest_forgets_where_rows_lay(load: Any, tmp_path: Path) -> None:
    task = load("number")
    (tmp_path / "number.jsonl").rename(tmp_path / "moved.jsonl")
    moved = load_task("mine", "number", {"train": "moved.jsonl"}, tmp_path, 0)
    assert moved.digest == task.digest


# --- rows out of files -------------------------------------------------------------------------


def test_rows_asked_for(load: Any) -> None:
    task = load("generate", eval_rows=7, train_rows=20)
    assert (len(task.train), len(task.evaluation)) == (20, 7)
    assert len(load("generate").evaluation) == 6
    assert len(load("generate", eval_share=0.5).evaluation) == 30
    assert "train_rows is 60, and there are 50" in refusal(
        load, "generate", eval_rows=10, train_rows=60
    )
    assert "leave none to train on" in refusal(load, "generate", eval_rows=60)
    assert "no effect with eval" in refusal(load, "generate", eval="x", eval_share=0.1)
    assert "keep one" in refusal(load, "generate", eval_rows=3, eval_share=0.1)
    assert "keep one" in refusal(load, "generate", columns={"prompt": "p"}, format="alpaca")
    assert "without eval" in refusal(load, "generate", drop_overlap=True)


def test_rows_to_score_on_of_their_own(load: Any, tmp_path: Path) -> None:
    evaluated = [*TEXTS[:4], {"prompt": "new", "completion": "one"}]
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in evaluated))
    task = load("generate", eval="eval.jsonl")
    assert (len(task.train), len(task.evaluation)) == (60, 5)
    assert task.evaluation[0].source == "eval.jsonl:1"
    assert len(load("generate", eval="eval.jsonl", eval_rows=2).evaluation) == 2
    dropped = load("generate", eval="eval.jsonl", drop_overlap=True)
    assert len(dropped.train) == 56
    assert dropped.notes == ("4 training rows left out: evaluation rows too",)
    told = refusal(load, "generate", eval="generate.jsonl", drop_overlap=True)
    assert "no row is left" in told


def test_too_few_rows(load: Any) -> None:
    assert "one is needed to train and one to score" in refusal(
        load, "generate", train="generate.jsonl#1"
    )
    assert "mine, no.jsonl: no such file" in refusal(load, "generate", train="no.jsonl")
    task = load("generate", train="generate.jsonl#2")
    assert (len(task.train), len(task.evaluation)) == (1, 1)


def test_empty_rows_are_left_out_aloud(load: Any, tmp_path: Path) -> None:
    rows = [*TEXTS, {"prompt": "p", "completion": ""}]
    (tmp_path / "gaps.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "gaps.jsonl:61 (an empty reply)" in refusal(load, "generate", train="gaps.jsonl")
    task = load("generate", train="gaps.jsonl", skip_empty=True)
    assert task.notes == ("1 rows left out: gaps.jsonl:61 (an empty reply)",)


def test_pain_P3_a_reference_that_scores_badly_is_told(load: Any, tmp_path: Path) -> None:
    """Red where references are not scored as they are loaded."""
    told = refusal(load, "number", train="generate.jsonl") if load("generate") else ""
    assert "the reference reply itself scores 0" in told
    assert "generate.jsonl:" in told
    assert "the row has no choices" in refusal(load, "choose", train="generate.jsonl")


def test_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'number'"):
        load_task("mine", "numbers", {}, tmp_path, 0)


# --- single kinds ------------------------------------------------------------------------------


def scored(kind: str, reference: str, reply: str, **options: Any) -> float:
    example = Example(
        ({"role": "user", "content": "q"}, {"role": "assistant", "content": reference})
    )
    values = all_kinds()[kind].settings(train="x", **options)
    return Task("mine", kind, values, (example,), (example,)).score(reply, example)


def test_generate_scores() -> None:
    assert scored("generate", "ＡＢ c", "AB  c\n") == 1
    assert scored("generate", "Yes", "yes") == 0
    assert scored("generate", "Yes", "yes", ignore_case=True) == 1
    assert scored("generate", "Yes", "Yes, sir") == 0


def test_number_scores() -> None:
    assert scored("number", "so\n#### 1,200", "It is 1200.00 dollars.") == 1
    assert scored("number", "#### 3", "#### 4") == 0
    assert scored("number", "#### 3", "three") == 0


def test_rouge_scores() -> None:
    # By hand: the common subsequence "the cat sat" is 3 of 4 and 3 of 5 words: F = 2/3.
    assert scored("rouge", "the cat sat down", "the big cat sat there") == pytest.approx(2 / 3)
    assert scored("rouge", "猫が座る", "猫は座る") == pytest.approx(3 / 4)
    assert scored("rouge", "!!!", "!!!") == 1
    assert scored("rouge", "a", "b") == 0


@pytest.mark.parametrize("kind", ["bleu", "chrf"])
@needs_sacrebleu
def test_missing_libraries_are_told(kind: str, load: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    importlib.import_module(f"onsa.tasks.{kind}")._metric.cache_clear()
    assert refusal(load, kind) == "task mine: needs sacrebleu; pip install 'onsa[text]'"
    with pytest.raises(InputError, match=r"needs gguf; pip install 'onsa\[demo\]'"):
        import_extra("no_such_module", "gguf", "demo")


@needs_sacrebleu
def test_how_japanese_is_parted(load: Any, monkeypatch: Any) -> None:
    """Words where a library can tell them, characters otherwise; which one is said."""
    monkeypatch.setattr("onsa.tasks.bleu._has_mecab", lambda: False)
    monkeypatch.setattr("onsa.tasks._words.find_spec", lambda name: None)
    tasks = {kind: load(kind) for kind in ("bleu", "rouge")}
    assert "|tok:char|" in tasks["bleu"].how
    assert "BLEU takes Japanese by characters: pip install 'onsa[ja]'" in tasks["bleu"].notes[0]
    assert "each letter of a script without spaces" in tasks["rouge"].how
    assert "pip install 'onsa[ja]' for words" in tasks["rouge"].notes[0]
    assert "needs mecab-python3 and ipadic" in refusal(load, "bleu", tokenize="ja-mecab")
    monkeypatch.setitem(sys.modules, "fugashi", None)
    importlib.import_module("onsa.tasks._words")._tagger.cache_clear()
    assert "needs fugashi; pip install 'onsa[ja]'" in refusal(load, "rouge", words="japanese")
    plain = [{**row, "completion": row["prompt"]} for row in JAPANESE]
    monkeypatch.setitem(ROWS, "bleu", plain)
    assert "|tok:13a|" in load("bleu").how
    assert load("bleu").notes == ()


@needs_gym
def test_questions_of_reasoning_gym(load: Any) -> None:
    task = load("reasoning_gym", config={"min_terms": 2, "max_terms": 2}, system="Only the number.")
    assert task.metric == "verifier score"
    assert task.train[0].messages[0] == {"role": "system", "content": "Only the number."}
    more = load(
        "reasoning_gym",
        config={"min_terms": 2, "max_terms": 2},
        system="Only the number.",
        train_rows=60,
    )
    assert more.evaluation == task.evaluation
    assert more.train[: len(task.train)] == task.train
    assert load("reasoning_gym", seed=5).train != load("reasoning_gym", seed=6).train
    own = {"config": {}, "seed": 5}
    assert load_task("a", "reasoning_gym", {"dataset": "chain_sum", **own}, Path(), 6).train


@needs_gym
def test_faults_of_reasoning_gym(load: Any) -> None:
    assert "did you mean 'chain_sum'?" in refusal(load, "reasoning_gym", dataset="chain_sums")
    assert "did you mean 'min_terms'?" in refusal(load, "reasoning_gym", config={"min_term": 2})
    assert "unknown parameter 'seed'" in refusal(load, "reasoning_gym", config={"seed": 2})
    assert "refuses the config" in refusal(load, "reasoning_gym", config={"min_terms": 9})
    assert "refuses the config" in refusal(load, "reasoning_gym", config={"min_terms": "x"})
    digits = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    few = refusal(load, "reasoning_gym", config=digits, train_rows=5000)
    assert "distinct questions" in few
    assert "ask for fewer rows" in few
    assert "choose another data set" in refusal(load, "reasoning_gym", dataset="graph_color")
    assert "others each time" in refusal(load, "reasoning_gym", dataset="codeio")


@needs_gym
def test_questions_that_hang_on_the_hash_seed(load: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    assert "PYTHONHASHSEED=0" in refusal(load, "reasoning_gym", dataset="word_ladder")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert load("reasoning_gym", dataset="isomorphic_strings").train


@needs_gym
@pytest.mark.parametrize(
    ("dataset", "reply"),
    [
        ("countdown", "__import__('os').mkdir('{made}')"),
        ("countdown", "9**9**9**9"),
        ("countdown", "9**(99)**99"),
        ("countdown", "(((9**99)**99)**99)**99"),
        ("countdown", "99999999!"),
        ("countdown", "(" * 200 + "9**99" + ")**99" * 20),
        ("puzzle24", "1e999999999"),
        ("puzzle24", "**9)" * 70),
        ("simple_integration", "x.__class__"),
        ("coin_flip", "1e999999999"),
        ("spiral_matrix", "__import__('os').mkdir('{made}')"),
        ("binary_matrix", "[__import__('os').mkdir('{made}')]"),
        ("n_queens", "9**9**9**9"),
        ("string_insertion", "__import__('os').mkdir('{made}')"),
    ],
)
def test_replies_are_never_run(dataset: str, reply: str, load: Any, tmp_path: Path) -> None:
    task = load("reasoning_gym", dataset=dataset, train_rows=2, eval_rows=1)
    made = tmp_path / "made"
    assert task.score(reply.replace("{made}", str(made)), task.evaluation[0]) < 0.5
    assert not made.exists()


@needs_gym
def test_verifiers_still_read_other_right_replies(load: Any) -> None:
    task = load("reasoning_gym", dataset="countdown", train_rows=2, eval_rows=3)
    for example in task.evaluation:
        assert task.score(f"({example.reply})*1", example) < 1  # a number that was not given
        assert task.score(f"( {example.reply} )", example) == 1
    task = load("reasoning_gym", dataset="spiral_matrix", train_rows=2, eval_rows=1)
    listed = "[" + ", ".join(task.evaluation[0].reply.split()) + "]"
    assert task.score(listed, task.evaluation[0]) > 0


@needs_gym
def test_questions_are_the_same_in_every_process(load: Any) -> None:
    program = (
        "from pathlib import Path; from onsa.tasks import load_task; "
        "print(load_task('mine', 'reasoning_gym', {'dataset': 'family_relationships', "
        "'train_rows': 30, 'eval_rows': 10}, Path(), 0).digest)"
    )
    here = load("reasoning_gym", dataset="family_relationships").digest
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == here


# --- the real files ----------------------------------------------------------------------------


@needs_shared_data
@pytest.mark.parametrize(
    ("kind", "options", "rows"),
    [
        ("number", {"train": "gsm8k/train.jsonl", "eval": "gsm8k/test.jsonl"}, (7473, 660)),
        (
            "choose",
            {"train": "logiqa2/dev.txt", "eval": "logiqa2/test.txt", "drop_overlap": True},
            (1524, 778),
        ),
        ("loss", {"train": "moss", "eval_rows": 34}, (200, 34)),
        ("loss", {"train": "alpaca/alpaca_5000.json", "skip_empty": True}, (4048, 450)),
        (
            "number",
            {
                "train": "gsm8k/train.jsonl#100",
                "eval": "gsm8k/test.jsonl",
                "eval_rows": 50,
                "train_rows": 20,
            },
            (20, 50),
        ),
    ],
)
def test_real_tasks(kind: str, options: dict[str, Any], rows: tuple[int, int]) -> None:
    task = load_task("real", kind, options, SHARED, 0)
    assert (len(task.train), len(task.evaluation)) == rows


@needs_shared_data
def test_real_numbers() -> None:
    """The final numbers of GSM8K and SVAMP are those that plain reading gives."""
    with (SHARED / "gsm8k" / "test.jsonl").open() as lines:
        answers = [json.loads(line)["answer"] for line in lines]
    for answer in answers:
        plain = answer.split("####")[1].strip().replace(",", "")
        assert scored("number", answer, f"The answer is {plain}.") == 1


@needs_gym
def test_enumerations_of_reasoning_gym_are_written_by_name() -> None:
    settings = {"dataset": "aiw", "train_rows": 4, "eval_rows": 2}
    config = {"task_types": ["siblings"], "task_type_weights": [1.0]}
    task = load_task("a", "reasoning_gym", {**settings, "config": config}, Path(), 0)
    assert all(row.extra["entry"]["metadata"]["task_type"] == "siblings" for row in task.train)
    with pytest.raises(InputError, match="did you mean 'siblings'"):
        load_task(
            "a", "reasoning_gym", {**settings, "config": {"task_types": ["sibling"]}}, Path(), 0
        )


def test_any_of_several_answers_is_right() -> None:
    turns = ({"role": "user", "content": "where?"}, {"role": "assistant", "content": "京都市"})
    example = Example(turns, {"answers": ["京都市", "京都"]})
    task = Task("mine", "generate", all_kinds()["generate"].settings(train="x"), (), (example,))
    assert [task.score(reply, example) for reply in ("京都", " 京都市", "東京")] == [1, 1, 0]
