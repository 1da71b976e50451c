"""Chance in the forward pass of a training: the model's own dropouts, and noise on its input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from onsa.errors import InputError


def set_dropout(model: Any, probability: float) -> None:
    """Give every dropout of the model this probability; its config, which is saved, stays.

    Architectures have modules for it, or numbers that their attention reads while it trains.

    Raises:
        InputError: the architecture has no dropout.
    """
    found = 0
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
            found += 1
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, probability)
                found += 1
    if not found:
        raise InputError(
            f"a {model.config.model_type} has no dropout", where="dropout", way_out="take it out"
        )


@contextmanager
def noisy_embeddings(model: Any, alpha: float | None) -> Iterator[None]:
    """Inside, what the embedding gives for a batch in training has uniform noise on it, of at most
    alpha / sqrt(length x width).

    NEFTune, Jain et al. 2023, arXiv:2310.05914. The Trainer's own does not find the embedding of
    every model that PEFT has put virtual tokens before (transformers 5.23).
    """
    if alpha is None:
        yield
        return

    def add_noise(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        most = alpha / (output.shape[1] * output.shape[2]) ** 0.5
        return output + torch.empty_like(output).uniform_(-most, most)

    handle = model.get_input_embeddings().register_forward_hook(add_noise)
    try:
        yield
    finally:
        handle.remove()
