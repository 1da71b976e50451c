"""Gradual unfreezing: from the top down, and nothing moves before its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import onsa
import onsa.training.trainer
from onsa.methods.gradual import open_stage, stages_of
from onsa.weights import Weights

STRAINED = {"weight_decay": 0.3, "max_grad_norm": 0.5, "num_train_epochs": 0.5}


def test_stages_go_from_the_top_down() -> None:
    names = ["wte.weight", "h.0.mlp.w", "h.1.mlp.w", "h.2.mlp.w", "ln_f.weight", "lm_head.weight"]
    assert list(stages_of(names).values()) == [3, 2, 1, 0, 0, 0]


def test_the_schedule_is_linear_and_the_last_step_trains_everything() -> None:
    assert [open_stage(done, 10, 4, 0.4) for done in range(6)] == [0, 1, 2, 3, 4, 4]
    for steps in range(1, 30):
        for share in (0.01, 0.3, 0.99):
            opened = [open_stage(done, steps, 5, share) for done in range(steps)]
            assert opened == sorted(opened)
            assert opened[-1] == 5
            assert steps == 1 or share * steps < 1 or opened[0] == 0


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "bert"])
def test_before_its_time_a_block_has_not_moved_by_a_bit(
    recipe: Callable[..., dict[str, Any]], architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[set[str]] = []
    start: dict[str, torch.Tensor] = {}

    def watch(self: Any, args: Any, state: Any, control: Any, **kw: Any) -> None:
        now = {name: each.detach().clone() for name, each in kw["model"].named_parameters()}
        moved.append({name for name in now if not torch.equal(now[name], start[name])})

    monkeypatch.setattr(onsa.training.trainer._Callback, "on_step_end", watch)
    begin = onsa.training.trainer._Callback.on_train_begin

    def remember(self: Any, args: Any, state: Any, control: Any, **kw: Any) -> None:
        start.update({n: each.detach().clone() for n, each in kw["model"].named_parameters()})
        begin(self, args, state, control, **kw)

    monkeypatch.setattr(onsa.training.trainer._Callback, "on_train_begin", remember)
    run = onsa.tune(**recipe(architecture, method="gradual", unfrozen_after=0.6, **STRAINED))
    opened = run.history[[r.name for r in run.history].index("gradual")].facts["unfrozen"]
    stages = stages_of(run.base.float_shapes)
    assert [stage for _, stage in opened] == [0, 1, 2]
    for done, names in enumerate(moved):
        stage = max(stage for at, stage in opened if at <= done)
        assert {stages[name] for name in names} <= set(range(stage + 1))
    # The warm-up's first step has the rate 0: all but it move what is open.
    assert {stages[name] for name in moved[1]} == {0}
    assert moved[-1] == set(run.base.float_shapes)


def test_a_tied_head_is_said_to_be_the_embedding(recipe: Callable[..., dict[str, Any]]) -> None:
    run = onsa.tune(**recipe(method="gradual", num_train_epochs=0.2))
    assert any("tied" in note for note in run.notes)
    assert isinstance(run.base, Weights)
