"""Base, base asked well, and tuned on the same rows; and what was forgotten beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onsa
from onsa.commands import asking
from onsa.commands.asking import LABEL
from onsa.data.example import Example
from onsa.errors import InputError
from onsa.evaluation import scorer as scorers
from onsa.evaluation.scorer import Scorer
from onsa.files import read_json
from onsa.metrics.text import final_number
from onsa.prepare.tasks import PROBE, PROBE_FOLDER, load_tasks
from tests.command_line import onsa as command
from tests.command_line import task, write_recipe

PROMPTS = ["Say it.", {"shots": 2, "pick": "nearest"}]


@pytest.fixture(scope="module")
def asked(
    tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, set[str]]]:
    """A run with prompts and the probe, and the questions that the prompts were chosen on."""
    folder = tmp_path_factory.mktemp("asked")
    tasks = [task("echo"), task("upper")]
    path = write_recipe(
        folder, tiny_model(), prompts=PROMPTS, prompt_rows=6, probe=True, tasks=tasks,
        per_device_eval_batch_size=64,
    )  # fmt: skip
    chosen_on: dict[str, set[str]] = {}

    def spy(run: Any, name: str, *, weights: Any, tasks: Any) -> Any:
        for each in tasks:
            rows = {row.prompt[-1]["content"].split("\n")[-1] for row in each.evaluation}
            chosen_on.setdefault(each.name, set()).update(rows)
        return run_scoring(run, name, weights=weights, tasks=tasks)

    run_scoring = asking.run_scoring
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "run_scoring", spy)
        assert command("tune", path, "-q").code == 0
    return folder / "run", chosen_on


def test_pain_P11_base_base_prompted_and_tuned_on_the_same_rows(
    asked: tuple[Path, dict[str, set[str]]],
) -> None:
    """Did tuning help, more than asking well would have?

    Red without `ask_better` in `tune`: there is no row of the base with a prompt; and when its
    stage is not among those that are scored, there are no examples that flipped against it.
    """
    facts = read_json(asked[0] / "report.json")
    assert [each["label"] for each in facts["results"]] == ["base", LABEL, "full"]
    for result in facts["results"]:
        for name in ("echo", "upper"):
            score = result["scores"][name]
            assert score["n"] == 4
            assert score["low"] <= score["mean"] <= score["high"]
    held = {(each["from"], each["to"], each["task"]) for each in facts["flips"]}
    assert held == {
        (start, "full", name) for start in ("base", LABEL) for name in ("echo", "upper")
    }
    assert all("p_value" in each and "examples" in each for each in facts["flips"])
    page = (asked[0] / "report.html").read_text(encoding="utf-8")
    assert "The base model, prompted" in page
    assert "training rows" in page


def test_prompts_are_chosen_on_training_rows_alone(
    asked: tuple[Path, dict[str, set[str]]],
) -> None:
    """Red when a prompt is tried on evaluation rows (`_parted` giving the task itself)."""
    run, chosen_on = asked
    kept = read_json(run / "rows.json")["tasks"]
    for name in ("echo", "upper"):
        evaluation = {row["prompt"] for row in kept[name]["evaluation"]}
        assert len(chosen_on[name]) == 6
        assert not chosen_on[name] & evaluation
    found = read_json(run / "report.json")["chosen_prompts"]["echo"]
    assert [each["prompt"] for each in found["tried"]] == [
        "plain", "instruction «Say it.»", "2 nearest examples",
    ]  # fmt: skip
    best = max(found["tried"], key=lambda each: each["mean"])["prompt"]
    assert (found["prompt"], found["rows"]) == (best, 6)


def test_examples_never_show_the_row_that_is_asked(recipe: Any) -> None:
    """Red when the rows that a prompt is tried on stay among those it takes examples from."""
    made = load_tasks_of(recipe)
    part = asking._parted(made, 6, seed=0)
    assert not set(map(id, part.train)) & set(map(id, part.evaluation))
    assert len(part.train) + len(part.evaluation) == len(made.train)
    assert len(asking._parted(made, 1000, seed=0).evaluation) == len(made.train) // 2


def load_tasks_of(recipe: Any) -> Any:
    from onsa.methods import method_settings
    from onsa.recipe.reading import build_recipe

    return load_tasks(build_recipe(recipe(), method_settings()).tasks, Path.cwd(), 0)[0]


def test_the_probe_is_scored_before_and_after(asked: tuple[Path, dict[str, set[str]]]) -> None:
    facts = read_json(asked[0] / "report.json")
    names = [each.name for each in PROBE]
    assert [each["name"] for each in facts["untrained"]["tasks"]] == names
    for result in facts["untrained"]["results"]:
        assert list(result["scores"]) == names
    assert {each["from"] for each in facts["untrained"]["flips"]} == {"base"}
    page = (asked[0] / "report.html").read_text(encoding="utf-8")
    assert "Not trained, against the base model" in page


def test_the_probe_has_one_right_answer_each_and_no_favourite_letter() -> None:
    tasks = {each.name: each for each in load_tasks(PROBE, PROBE_FOLDER, 0)}
    for name in ("probe.knowledge", "probe.knowledge_ja"):
        rows = tasks[name].evaluation
        letters = Counter(row.extra["answer"] for row in rows)
        assert set(letters.values()) == {len(rows) // 4}
    sums = tasks["probe.sums"].evaluation
    assert all(final_number(row.reply) is not None for row in sums)
    for each in tasks.values():
        prompts = [row.prompt[-1]["content"] for row in each.evaluation]
        assert len(set(prompts)) == len(prompts)


def test_only_the_last_reply_tells_choices_apart() -> None:
    """Red when `choose` takes the mean over all replies: those of the examples even out what the
    choices say, and a longer choice wins."""
    read: list[Example] = []

    def encode(rendered: list[Example], encoder: object) -> list[Example]:
        read.extend(rendered)
        return rendered

    turns = tuple({"role": role, "content": "x"} for role in ("user", "assistant") * 2)
    scorer = object.__new__(Scorer)
    scorer.encoder = None  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "_losses", lambda scorer, rows, advance: [0.0] * len(rows))
        patch.setattr(scorers, "encode_together", encode)
        scorer.choose([Example(turns, {"choices": ["A", "B"], "answer": "A"})], lambda n: None)
    assert [(row.reply, row.only_last) for row in read] == [("A", True), ("B", True)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_rows": 4}, "prompt_rows has no effect without prompts"),
        ({"prompts": [{"shot": 2}]}, r"prompts\[1\].*did you mean 'shots'"),
        ({"prompts": [{"pick": "nearest"}]}, "pick has no effect without shots"),
        ({"prompts": [3]}, r"prompts\[1\]: not a mapping"),
    ],
)
def test_wrong_prompts_are_one_line(recipe: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        onsa.tune(**recipe(method="full", **changes))


def test_a_prompt_that_does_not_fit_is_left_out_and_said(recipe: Any) -> None:
    keys = recipe(method="prompt_only", prompts=[{"shots": 40}], prompt_rows=2)
    run = onsa.tune(**keys, max_length=1024)
    assert any("prompt left out for echo: 40 random examples" in note for note in run.notes)


def test_head_only_runs_refuse_both(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    """A classifier has no words to ask for: one line each."""
    heads = [task("echo", kind="classify", max_new_tokens=..., labels=["a", "b"])]
    rows = "".join(f'{{"prompt": "t {n}", "completion": "{"ab"[n % 2]}"}}\n' for n in range(20))
    path = write_recipe(tmp_path, tiny_model("bert", is_decoder=False), tasks=heads, probe=True)
    (tmp_path / "echo.jsonl").write_text(rows)
    assert "probe asks a language model" in command("tune", path).refused()
    path = write_recipe(tmp_path, tiny_model("bert", is_decoder=False), tasks=heads, prompts=True)
    (tmp_path / "echo.jsonl").write_text(rows)
    assert "no task has replies that are asked for" in command("tune", path, "-q").refused()
