"""What trains, changed as the training goes on: `requires_grad` switched between optimizer steps.

Parameters that shall train at some time must need a gradient when the optimizer is made, which
knows no others. One whose gradient is None is passed over by AdamW: neither weight decay nor
momentum moves it. The backward pass ends above the lowest parameter that needs a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import nn
from transformers import TrainerCallback

from onsa.models.head_names import owner_of

Names = Collection[str]


class TrainOnly(TrainerCallback):
    """Lets only the parameters `names_at(step)` train; what was held from the start stays so.

    `step` counts finished optimizer steps. A resumed training is the same one if `names_at` gives
    the same names again.
    """

    def __init__(self, model: nn.Module, names_at: Callable[[int], Names]) -> None:
        self.candidates = {n: each for n, each in model.named_parameters() if each.requires_grad}
        self.names_at = names_at

    def on_step_begin(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
        let_train(self.candidates, self.names_at(state.global_step))


def let_train(candidates: dict[str, nn.Parameter], names: Names) -> None:
    """Of `candidates` only `names` and heads, which are new, need a gradient, and no gradient is
    left from before."""
    for name, parameter in candidates.items():
        parameter.requires_grad_(name in names or owner_of(name) is not None)
        parameter.grad = None
