"""What every method in the folder must hold: new ones are found and tested by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import onsa
from onsa.errors import InputError
from onsa.files import read_json
from onsa.methods import all_methods
from onsa.run import Run
from onsa.training import PlannedTrainer
from onsa.weights import Weights

Keys = Callable[..., dict[str, Any]]
STRAINED = {"weight_decay": 0.1, "max_grad_norm": 0.5, "gradient_accumulation_steps": 2}


@pytest.fixture(params=all_methods())
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def models(run: Run) -> dict[str, Path]:
    """The model folders of a run: one, or one for each task."""
    found = sorted((run / "model").rglob("config.json"))
    assert found
    return {str(path.parent.relative_to(run / "model")): path.parent for path in found}


def digests(run: Run) -> dict[str, str]:
    return {name: Weights(folder).digest for name, folder in models(run).items()}


def test_defaults_construct_and_unknown_settings_are_refused(recipe: Keys, method: str) -> None:
    found = all_methods()[method]
    assert found.summary.endswith(".")
    found.settings()
    with pytest.raises(InputError, match="unknown key 'no_such_key'"):
        onsa.tune(**recipe(method=method, no_such_key=1))


def test_the_loss_falls_and_the_result_loads(recipe: Keys, method: str) -> None:
    run = onsa.tune(**recipe(method=method, num_train_epochs=3))
    first, last = {}, {}
    for curve in read_json(run / "report.json")["curves"]:
        for task, points in curve["points"].items():
            first.setdefault(task, points[0][1])
            last[task] = points[-1][1]
    assert set(first) == {"echo", "upper", "after"}
    assert all(last[task] < first[task] for task in first)
    for folder in models(run).values():
        model, told = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not told["missing_keys"]
        assert not told["unexpected_keys"]
        assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_what_may_move_has_moved(recipe: Keys, method: str) -> None:
    run = onsa.tune(**recipe(method=method, **STRAINED))
    for folder in models(run).values():
        after = Weights(folder)
        assert all(not torch.equal(run.base[name], after[name]) for name in run.base.names)
        assert all(torch.isfinite(after[name]).all() for name in after.names)
    assert all(entry["changed"] == 0 for entry in read_json(run / "report.json")["held"])


def test_stopped_and_resumed_gives_the_bytes_of_the_undisturbed_run(
    recipe: Keys, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = onsa.tune(**recipe(method=method, **STRAINED, output=str(tmp_path / "calm")))
    stormy = recipe(method=method, **STRAINED, output=str(tmp_path / "stormy"), save_steps=2)
    step, calls = PlannedTrainer.training_step, 0

    def interrupted(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (7, 12, 21):
            raise KeyboardInterrupt
        return step(*given, **named)

    monkeypatch.setattr(PlannedTrainer, "training_step", interrupted)
    stops = 0
    while True:
        try:
            run = onsa.tune(**stormy)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops == 3
    assert digests(run) == digests(calm)


def test_a_trained_share_that_is_reported_is_the_counted_one(recipe: Keys, method: str) -> None:
    run = onsa.tune(**recipe(method=method))
    for entry in read_json(run / "report.json")["held"]:
        record = next(record for record in run.history if record.name == entry["stage"])
        assert entry["entries"] == record.facts["held"]["entries"] < run.base.entry_count
    assert read_json(run / "report.json")["model"]["parameters"] == sum(
        parameter.numel()
        for parameter in AutoModelForCausalLM.from_pretrained(run.base.folder).parameters()
    )
