"""Low-rank adapters on some matrices; the base stays as it is.

Hu et al. 2021, LoRA, arXiv:2106.09685. The scale by sqrt(r) is rsLoRA's (arXiv:2312.03732), the
decomposition into magnitude and direction DoRA's (arXiv:2402.09353), the two learning rates LoRA+'s
(arXiv:2402.12354), the base in 4 bits QLoRA's (arXiv:2305.14314). All of them are PEFT's, by its
names, but for `quantization`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, field_validator, model_validator

from onsa.adapter import Adapter
from onsa.choosing.targets import find_targets, rows_left_out
from onsa.data.encoding import Encoder
from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.methods import method
from onsa.models.device import compute_dtype, device
from onsa.models.loading import load_model, load_quantised
from onsa.models.quantization import Quantization, require_quantization
from onsa.recipe.training import Training
from onsa.run import Run, Step
from onsa.training.adapters import AdapterSettings, add_adapter, run_adapter, train_adapter
from onsa.weights import Weights


class Lora(AdapterSettings):
    r: int = Field(8, ge=1, description="rank of the update of a matrix")
    lora_alpha: int = Field(
        8, ge=1, description="the update is scaled by lora_alpha / r, by sqrt(r) with use_rslora"
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="of the input of A")
    target_modules: list[str] | str = Field(
        ["query", "value"],
        description="query, key, value, names of modules, 'all-linear', or a regular expression",
    )
    use_rslora: bool = Field(False, description="scale by lora_alpha / sqrt(r)")
    use_dora: bool = Field(False, description="train each row's length apart from its direction")
    init_lora_weights: bool | Literal["gaussian"] = Field(
        True, description="how A starts: uniform (true) or 'gaussian'; B starts at zero"
    )
    bias: Literal["none", "all", "lora_only"] = Field(
        "none", description="biases that train too: none, all, or those of the target modules"
    )
    layers_to_transform: list[int] | None = Field(
        None, description="only in these blocks, counted from 0"
    )
    lora_plus_ratio: float = Field(
        1.0, gt=0, description="learning rate of B over that of A, which is learning_rate"
    )

    quantization: Quantization | None = Field(
        None, description="hold the base in 4 bits, as nf4, in training and in use (QLoRA)"
    )

    @field_validator("init_lora_weights")
    @classmethod
    def _starts_at_the_base(cls, given: bool | str) -> bool | str:
        if given is False:
            raise InputError(
                "false would start at another model than the base", way_out="true or 'gaussian'"
            )
        return given

    @model_validator(mode="after")
    def _biases_stay(self) -> Lora:
        if self.quantization and self.bias != "none":
            raise InputError(
                "bitsandbytes rounds the biases of a base in 4 bits: they cannot train",
                way_out="take 'bias' or 'quantization' out",
            )
        return self

    def require(self, config: Any, training: Training, encoder: Encoder) -> None:
        if self.quantization:
            require_quantization(device())

    def require_places(self, model: Any) -> None:
        find_targets(model, self.target_modules)


@method("lora", settings=Lora, paper="arXiv:2106.09685")
def lora(run: Run, settings: Lora) -> Adapter:
    """Train a low-rank update of some matrices, by default of query and value."""
    return run_adapter(run, "lora", train_lora, settings)


def train_lora(step: Step, *, settings: Lora, training: Training, **inputs: Any) -> dict[str, Any]:
    """`train` with a low-rank adapter on the model."""
    return train_adapter(
        step,
        load=partial(_load, settings.quantization, compute_dtype(training.precision)),
        add=partial(add_lora, settings),
        hold_added=partial(_left_out, settings),
        hold_rule="rows of fused matrices that were not chosen",
        rate_of=partial(_rate, settings.lora_plus_ratio),
        training=training,
        **inputs,
    )


def _load(quantization: str | None, compute: torch.dtype, start: Weights) -> Any:
    return load_quantised(start, quantization, compute) if quantization else load_model(start)


def add_lora(settings: Lora, model: Any) -> Any:
    keys = settings.model_dump(exclude={"trained_tokens", "lora_plus_ratio", "quantization"})
    keys["target_modules"] = find_targets(model, settings.target_modules).modules
    return add_adapter(model, "lora", keys)


def _left_out(settings: Lora, model: Any) -> ParameterMask | None:
    targets = find_targets(model.get_base_model(), settings.target_modules)
    return rows_left_out(model, targets)


def _rate(ratio: float, name: str, rate: float) -> float:
    return rate * ratio if ".lora_B." in name or ".lora_embedding_B." in name else rate
