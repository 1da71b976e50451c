"""Fisher information against autograd by brute force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from onsa.choosing.fisher import fisher_diagonal, log_likelihood
from onsa.data.encoded import UNTRAINED, Encoded

ROWS = [
    Encoded([5, 6, 7, 8, 9], [UNTRAINED, UNTRAINED, 7, 8, 9]),
    Encoded([9, 3, 4], [UNTRAINED, 3, 4]),
    Encoded([1, 2, 3, 4], [UNTRAINED, UNTRAINED, UNTRAINED, 4]),
]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
def test_it_is_the_mean_of_squared_gradients_of_each_example(
    tiny_model: Callable[..., Path], architecture: str
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model(architecture)).eval()
    names = [name for name, _ in model.named_parameters() if "norm" in name or "ln_" in name]
    found = fisher_diagonal(model, [("", row) for row in ROWS], names)
    assert set(found) == set(names)
    model.requires_grad_(True)
    expected = {name: torch.zeros_like(found[name], dtype=torch.float64) for name in names}
    for row in ROWS:
        model.zero_grad()
        logits = model(input_ids=torch.tensor([row.ids])).logits[0]
        terms = [
            torch.log_softmax(logits[at - 1], 0)[label]
            for at, label in enumerate(row.labels)
            if label != UNTRAINED
        ]
        torch.stack(terms).sum().backward()
        for name, parameter in model.named_parameters():
            if name in names:
                expected[name] += parameter.grad.double() ** 2 / len(ROWS)
    for name in names:
        torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-4, atol=1e-9)
        assert found[name].any()


def test_drawn_labels_come_near_the_expectation_over_the_vocabulary(
    tiny_model: Callable[..., Path],
) -> None:
    """True Fisher information of one position, by its sum over every token there is."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model()).eval()
    row, name = Encoded([1, 2, 3], [UNTRAINED, UNTRAINED, 3]), "model.norm.weight"
    parameter = dict(model.named_parameters())[name]
    chances = model(input_ids=torch.tensor([row.ids])).logits[0, 1].log_softmax(0)
    expected = torch.zeros_like(parameter)
    for chance in chances:
        (gradient,) = torch.autograd.grad(chance, parameter, retain_graph=True)
        expected += chance.exp().detach() * gradient**2
    drawn = fisher_diagonal(model, [("", row)] * 1500, [name], "true", seed=1)[name]
    assert float((drawn - expected).norm() / expected.norm()) < 0.15


def test_drawn_labels_are_the_same_for_a_seed(tiny_model: Callable[..., Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model()).eval()

    def drawn(seed: int) -> float:
        draw = torch.Generator().manual_seed(seed)
        return log_likelihood(model, ROWS[0], "true", draw).item()

    assert drawn(1) == drawn(1) != drawn(2)
