"""The memory of a run: the same step is read back, a changed one is run, nothing is half there."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.run import Run, Step, claim_folder
from onsa.weights import Weights, write_weights

CALLS: list[str] = []


def doubled(step: Step, *, number: int) -> dict[str, int]:
    CALLS.append(step.name)
    step.note(seen=number)
    return {"twice": 2 * number}


def shifted(step: Step, *, start: Weights, by: float) -> Weights:
    CALLS.append(step.name)
    layout = {name: (start.dtypes[name], shape) for name, shape in start.shapes.items()}
    return write_weights(step.folder / "weights", layout, lambda name: start[name] + by)


def marked(step: Step, *, weights: Weights) -> ParameterMask:
    CALLS.append(step.name)
    return ParameterMask.of({name: weights[name] > 0 for name in weights.names})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    CALLS.clear()
    return Run(tmp_path / "run")


@pytest.fixture
def base(tiny_model: Callable[..., Path]) -> Weights:
    return Weights(tiny_model())


def test_the_same_step_with_the_same_inputs_is_read_back(run: Run) -> None:
    assert run.step("a", doubled, number=3) == {"twice": 6}
    assert run.step("a", doubled, number=3) == {"twice": 6}
    assert run.step("a", doubled, number=4) == {"twice": 8}
    assert CALLS == ["a", "a"]
    assert [record.reused for record in run.history] == [False, True, False]
    assert run.history[1].facts == {"seen": 3}


def test_a_new_process_finds_what_the_old_one_made(run: Run, base: Weights) -> None:
    first = run.step("shift", shifted, start=base, by=1.0)
    mask = run.step("mark", marked, weights=first)
    run.release()
    again = Run(run.folder)
    second = again.step("shift", shifted, start=base, by=1.0)
    assert torch.equal(second[base.names[0]], base[base.names[0]] + 1.0)
    assert again.step("mark", marked, weights=second) == mask
    assert CALLS == ["shift", "mark"]


def test_a_changed_step_repeats_what_was_made_from_it(run: Run, base: Weights) -> None:
    for by in (1.0, 2.0):
        run.step("mark", marked, weights=run.step("shift", shifted, start=base, by=by))
    assert CALLS == ["shift", "mark", "shift", "mark"]


def test_a_step_that_fails_leaves_no_result_and_can_be_run_again(run: Run) -> None:
    def broken(step: Step) -> None:
        (step.folder / "half").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run.step("a", broken)
    assert not list((run.folder / "steps").rglob("result.json"))

    def mended(step: Step) -> bool:
        return (step.folder / "half").exists()

    mended.__qualname__ = broken.__qualname__
    assert run.step("a", mended) is True


def test_a_full_disk_is_one_line(run: Run) -> None:
    def full(step: Step) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=r"the disk is full; free some space .* kept"):
        run.step("a", full)


def test_one_process_at_a_time(run: Run) -> None:
    with pytest.raises(InputError, match="another process is working on this run"):
        Run(run.folder)
    run.release()
    Run(run.folder).release()


def test_a_folder_that_holds_another_run_is_refused(tmp_path: Path) -> None:
    identity = {"model": "m", "tasks": ["a", "b"]}
    claim_folder(tmp_path / "run", identity)
    claim_folder(tmp_path / "run", identity)
    with pytest.raises(InputError, match=r"holds another run \(its tasks: a, b, not a\)"):
        claim_folder(tmp_path / "run", {**identity, "tasks": ["a"]})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        claim_folder(tmp_path / "full", identity)


def test_equal_settings_are_equal_inputs_whatever_their_order(run: Run) -> None:
    def kept(step: Step, *, values: dict[str, Any]) -> dict[str, Any]:
        CALLS.append(step.name)
        return values

    run.step("a", kept, values={"x": 1, "y": [1, 2]})
    run.step("a", kept, values={"y": (1, 2), "x": 1})
    assert CALLS == ["a"]
