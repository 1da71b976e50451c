"""What a step costs, against torch's own counter; the best choice, against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from onsa.choosing.flops import (
    UNITS,
    Cost,
    Work,
    backward_cost,
    best_choice,
    forward_cost,
    step_costs,
)
from onsa.models.places import Place, place_of
from onsa.training.steering import let_train

ROWS, LENGTH = 3, 40


def costs_of(t_dy: Sequence[int], t_dw: Sequence[int]) -> list[Cost]:
    pairs = zip(t_dy, t_dw, strict=True)
    return [Cost(str(at), 0, down, own) for at, (down, own) in enumerate(pairs)]


def worth_of(chosen: Sequence[bool], importance: Sequence[float]) -> float:
    return sum(worth for worth, taken in zip(importance, chosen, strict=True) if taken)


def test_the_worked_example() -> None:
    costs = costs_of([0, 2, 1, 4, 0], [5, 1, 7, 3, 1])
    importance = [1.0, 3.0, 10.0, 5.0, 3.0]
    chosen = best_choice(costs, importance, 0.6 * backward_cost(costs))
    assert chosen == [False, True, True, False, False]
    assert worth_of(chosen, importance) == 13


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30), st.floats(-1, 1)), min_size=1, max_size=8
    ),
    st.floats(0.05, 1.0),
)
def test_it_is_the_best_choice_to_a_unit_for_each_tensor(
    tensors: list[tuple[int, int, float]], share: float
) -> None:
    costs = costs_of([t[0] for t in tensors], [t[1] for t in tensors])
    importance = [t[2] for t in tensors]
    budget = share * backward_cost(costs)
    chosen = best_choice(costs, importance, budget)
    assert not any(chosen) or backward_cost(costs, chosen) <= budget
    narrower = budget * (1 - (len(costs) + 1) / UNITS)
    best = max(
        worth_of(other, importance)
        for other in itertools.product([False, True], repeat=len(costs))
        if backward_cost(costs, other) <= narrower
    ) if narrower > 0 else 0.0  # fmt: skip
    assert worth_of(chosen, importance) >= best - 1e-9


def counted(model: torch.nn.Module, ids: torch.Tensor) -> tuple[int, int]:
    """FLOPs of the forward and the backward pass by torch's counter: matrices only."""
    with FlopCounterMode(display=False) as counter:
        loss = model(input_ids=ids).logits.float().logsumexp(-1).sum()
        forward = counter.get_total_flops()
        loss.backward()
    return forward, counter.get_total_flops() - forward


def matrices(costs: list[Cost], shapes: dict[str, tuple[int, ...]]) -> list[Cost]:
    """Without what torch's counter does not see: norms, biases, embedding lookups."""
    kept = []
    for cost in costs:
        if not cost.name or (len(shapes[cost.name]) == 2 and cost.forward):
            kept.append(cost)
        elif place_of(cost.name).role == "embedding":  # of a tied one, the head's part
            kept.append(cost._replace(t_dw=cost.t_dw - ROWS * LENGTH * shapes[cost.name][-1]))
    return kept


@pytest.mark.parametrize(
    "architecture", ["llama", "gpt2", "gpt_neox", "gemma3_text", "bert", "roberta"]
)
def test_flops_are_those_that_torch_counts(
    tiny_model: Callable[..., Path], architecture: str
) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        tiny_model(architecture), attn_implementation="eager"
    )
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    costs = step_costs(shapes, model.config, Work(ROWS, LENGTH, ROWS * LENGTH))
    assert {cost.name for cost in costs if cost.name} == set(shapes)
    seen = matrices(costs, shapes)
    forward, backward = counted(model, torch.randint(1, 200, (ROWS, LENGTH)))
    assert 2 * forward_cost(seen) == pytest.approx(forward, rel=0.01)
    assert 2 * backward_cost(seen) == pytest.approx(backward, rel=0.01)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "bert"])
def test_what_is_not_chosen_is_really_saved(
    tiny_model: Callable[..., Path], architecture: str
) -> None:
    """The backward pass of a choice takes no more than planned, and not much less."""
    model = AutoModelForCausalLM.from_pretrained(
        tiny_model(architecture), attn_implementation="eager"
    )
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(each.shape) for name, each in parameters.items()}
    costs = step_costs(shapes, model.config, Work(ROWS, LENGTH, ROWS * LENGTH))
    names = {n for n in shapes if place_of(n) == Place("1", "mlp") and n.endswith("weight")}
    let_train(parameters, names)
    seen = matrices(costs, shapes)
    planned = 2 * backward_cost(seen, [cost.name in names for cost in seen])
    _, backward = counted(model, torch.randint(1, 200, (ROWS, LENGTH)))
    lowest = next(cost for cost in reversed(seen) if cost.name in names)
    assert planned - 4 * lowest.t_dy <= backward <= 1.01 * planned
