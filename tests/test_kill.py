"""Killed at any moment and started again, a run ends with the same bytes as undisturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from onsa.weights import Weights

KILLS = int(os.environ.get("ONSA_TEST_KILLS", "3"))
# The libraries are left out of garbage collection, as in conftest.py.
MAIN = """
import gc, torch, onsa.commands.tune
from onsa.cli import main
torch.set_num_threads(1)
gc.freeze()
main()
"""


def start(recipe: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MAIN, "tune", str(recipe), f"output={output}", "--quiet"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=_hear_ctrl_c
    )


def _hear_ctrl_c() -> None:
    """A suite that was started in the background has Ctrl-C ignored, and hands that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


@pytest.fixture
def recipe_file(recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> Path:
    keys = recipe(method="cpi_ft", baselines=["full"], save_steps=3, weight_decay=0.1, eval_rows=4)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    return path


def test_pain_P9_killed_at_random_moments_the_weights_are_the_same(
    recipe_file: Path, tmp_path: Path
) -> None:
    started = time.monotonic()
    finish(start(recipe_file, tmp_path / "calm"))
    whole = time.monotonic() - started
    draw = random.Random(os.environ.get("ONSA_TEST_SEED", "0"))
    killed = 0
    while killed < KILLS:
        process = start(recipe_file, tmp_path / "stormy")
        time.sleep(whole * draw.uniform(0.3, 0.9))  # the first third is start-up
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += 1
        if process.returncode == 0:  # it was done before the signal: nothing left to kill
            break
    finish(start(recipe_file, tmp_path / "stormy"))
    calm, stormy = (Weights(tmp_path / name / "model") for name in ("calm", "stormy"))
    assert calm.digest == stormy.digest
    assert not list((tmp_path / "stormy" / "steps").rglob(".*.partial"))
    assert (tmp_path / "stormy" / "report.html").is_file()


def test_stopped_by_ctrl_c_it_says_one_line_and_goes_on(recipe_file: Path, tmp_path: Path) -> None:
    process = start(recipe_file, tmp_path / "run")
    wait_for(tmp_path / "run" / "steps" / "probe")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode().strip().splitlines()[-1].startswith("onsa: stopped; finished steps")
    assert "Traceback" not in errors.decode()
    finish(start(recipe_file, tmp_path / "run"))


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.05)
