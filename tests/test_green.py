"""GreenTrainer: what is chosen moves, the rest does not, and choosing leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

import onsa
import onsa.methods.green as green
from onsa.errors import InputError
from onsa.losses import token_losses
from onsa.run import Run

Keys = Callable[..., dict[str, Any]]


def facts_of(run: Run) -> dict[str, Any]:
    return next(record.facts for record in run.history if record.name == "green")


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "bert"])
def test_only_what_was_ever_chosen_moves(recipe: Keys, architecture: str) -> None:
    keys = {"rho": 0.6, "choose_every": 0.25, "num_train_epochs": 0.6, "weight_decay": 0.3}
    run = onsa.tune(**recipe(architecture, method="green", **keys))
    choices = facts_of(run)["choices"]
    steps = [choice["step"] for choice in choices]
    assert steps == list(range(0, facts_of(run)["steps"], 5))
    assert len(steps) > 1
    assert all(0.35 < choice["flops_share"] <= 0.6 for choice in choices)
    ever = {name for choice in choices for name in choice["tensors"]}
    after = run.stages[-1].weights
    moved = {name for name in run.base.names if not torch.equal(run.base[name], after[name])}
    assert moved == ever != set(run.base.names)
    assert facts_of(run)["trained_entries"] == sum(run.base[name].numel() for name in ever)


def test_choosing_leaves_no_trace_and_is_as_by_hand(
    recipe: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, seen = green.measure_importance, []

    def watched(trainer: Any, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        before, twin = traces(trainer), copy.deepcopy(trainer.model)
        found = measure(trainer, batch)
        after = traces(trainer)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
        if not seen:
            assert found == pytest.approx(by_hand(twin, batch), rel=1e-2, abs=1e-4)
        seen.append(found)
        return found

    monkeypatch.setattr(green, "measure_importance", watched)
    keys = {"num_train_epochs": 0.5, "choose_every": 0.2, "max_grad_norm": 0.0}
    onsa.tune(**recipe(method="green", gradient_accumulation_steps=2, **keys))
    assert len(seen) > 1
    assert max(seen[0].values()) == 1


def traces(trainer: Any) -> dict[Any, torch.Tensor]:
    """All that choosing might change: weights, optimizer, rates, random numbers."""
    kept = {name: each.detach().clone() for name, each in trainer.model.named_parameters()}
    optimizer = trainer.optimizer.optimizer
    for number, state in enumerate(optimizer.state.values()):
        kept |= {(number, key): value.clone() for key, value in state.items()}
    rates = [group["lr"] for group in optimizer.param_groups]
    return {**kept, "rates": torch.tensor(rates), "random": torch.get_rng_state()}


def by_hand(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.0)
    token_losses(model, batch)[0].mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    token_losses(model, batch)[0].mean().backward()
    worth = {
        name: -float((each.grad * (each.detach() - before[name])).sum())
        for name, each in model.named_parameters()
    }
    largest = max(map(abs, worth.values()))
    return {name: each / largest for name, each in worth.items()}


def test_a_share_below_the_forward_pass_is_one_clear_line(recipe: Keys) -> None:
    with pytest.raises(InputError, match=r"rho 0.2 leaves nothing .* costs 0\.\d\d"):
        onsa.tune(**recipe(method="green", rho=0.2))
