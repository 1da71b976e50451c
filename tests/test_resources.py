"""The peak of memory is that of the work measured; what a step leaves behind is freed."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

import onsa
from onsa.evaluation import scoring
from onsa.resources import PeakMemory
from onsa.training.train import train

Keys = Callable[..., dict[str, Any]]
SIZE = 300_000_000  # bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak cannot be reset there")
@pytest.mark.skipif(torch.cuda.is_available(), reason="the accelerator's own memory is counted")
def test_what_was_freed_before_does_not_count() -> None:
    with PeakMemory() as nothing:
        pass
    with PeakMemory() as large:
        whole = torch.ones(SIZE // 4)
        small = [torch.ones(10_000) for _ in range(SIZE // 40_000)]  # below the size of a mapping
        del whole
    assert large.bytes - nothing.bytes > 1.5 * SIZE
    del small
    with PeakMemory() as after:
        pass
    assert after.bytes - nothing.bytes < 0.5 * SIZE


def test_a_trained_model_is_gone_before_the_next_step(
    recipe: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goes red where a step does not begin with `release_memory`: the model is scored while the
    one that was trained, its gradients and its optimizer are still there."""
    made: list[weakref.ref[Any]] = []
    alive: list[int] = []
    train_model, scored_model = train.__kwdefaults__["load"], scoring.load_model

    def load(*given: Any) -> Any:
        model = train_model(*given)
        made.append(weakref.ref(model))
        return model

    def load_to_score(*given: Any) -> Any:
        alive.append(sum(model() is not None for model in made))
        return scored_model(*given)

    monkeypatch.setitem(train.__kwdefaults__, "load", load)
    monkeypatch.setattr(scoring, "load_model", load_to_score)
    onsa.tune(**recipe(method="full"))
    assert made
    assert set(alive) == {0}
