"""The model's own dropouts, with another probability than its config's while it trains."""

from __future__ import annotations

from typing import Any

from torch import nn

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
