"""Asking in another way: what stands before a question, and that scores come from it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import onsa
from onsa.data.example import Example
from onsa.data.prompting import prompted
from onsa.errors import InputError
from onsa.files import read_json
from onsa.tasks import Task
from onsa.tasks.generate import KIND


def row(question: str, reply: str, system: str = "") -> Example:
    opening = ({"role": "system", "content": system},) if system else ()
    asked = {"role": "user", "content": question}
    return Example((*opening, asked, {"role": "assistant", "content": reply}))


def a_task(train: list[Example], evaluation: list[Example]) -> Task:
    settings = KIND.settings(train="a.jsonl", max_new_tokens=4)
    return Task("mine", "generate", settings, tuple(train), tuple(evaluation))


def contents(example: Example) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in example.messages]


def test_role_instruction_and_examples_stand_before_the_question() -> None:
    task = a_task([row("two?", "2", "Train.")], [row("one?", "1", "Be brief.")])
    asked = prompted(
        task, system="You count.", instruction="Say a digit.", shots=3, pick="random", seed=0
    )
    assert contents(asked.evaluation[0]) == [
        ("system", "You count.\n\nBe brief."),
        ("user", "Say a digit.\n\ntwo?"),
        ("assistant", "2"),
        ("user", "Say a digit.\n\none?"),
        ("assistant", "1"),
    ]
    assert asked.train == task.train


def test_nothing_asked_for_changes_nothing() -> None:
    task = a_task([row("two?", "2")], [row("one?", "1", "Be brief.")])
    assert prompted(task, pick="random", seed=0).evaluation == task.evaluation


def test_balanced_shows_every_reply_as_often() -> None:
    rows = [row(f"{n}?", "yes" if n % 10 else "no") for n in range(100)]
    asked = prompted(a_task(rows, rows[:1]), shots=6, pick="balanced", seed=0)
    replies = Counter(m["content"] for m in asked.evaluation[0].prompt if m["role"] == "assistant")
    assert replies == {"yes": 3, "no": 3}


@pytest.mark.parametrize(
    ("question", "nearest"),
    [("How tall is the tower?", "How high is the tower?"), ("鎌倉の大仏は?", "奈良の大仏は?")],
)
def test_nearest_shows_what_is_most_alike_last(question: str, nearest: str) -> None:
    known = ["How high is the tower?", "How old is the king?", "奈良の大仏は?", "Name a colour."]
    task = a_task([row(text, "so") for text in known], [row(question, "so")])
    asked = prompted(task, shots=2, pick="nearest", seed=0).evaluation[0]
    assert asked.prompt[-3]["content"] == nearest


def test_prompts_are_scored_beside_training_and_shown(recipe: Any) -> None:
    asked = {"method": "prompt_only", "shots": 2, "pick": "nearest", "instruction": "Say it."}
    run = onsa.tune(**recipe(method="full", baselines=[asked, {**asked, "label": "b", "shots": 1}]))
    facts = read_json(run / "report.json")
    labels = [row["label"] for row in facts["results"]]
    assert labels == ["base", "prompt_only", "b", "full"]
    assert [len(facts["prompts"][label]["echo"]) for label in ("prompt_only", "b")] == [5, 3]
    assert "How it was asked" in (run / "report.html").read_text(encoding="utf-8")


def test_prompts_that_do_not_fit_are_an_error(recipe: Any) -> None:
    with pytest.raises(InputError, match="512 positions"):
        onsa.tune(**recipe(method="prompt_only", shots=40))
    with pytest.raises(InputError, match="pick has no effect without shots"):
        onsa.tune(**recipe(method="prompt_only", pick="nearest"))
