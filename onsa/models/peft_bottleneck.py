"""Bottleneck adapters as one more type of PEFT, which has none of its own.

    import onsa.models.peft_bottleneck
    model = AutoPeftModelForCausalLM.from_pretrained("runs/adapter/model")

Importing this module makes the type known to PEFT; everything else is PEFT's: the format of the
files, loading, several adapters side by side, switching them off.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from peft import PeftConfig
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType
from torch import Tensor, nn
from transformers.activations import ACT2FN

if not hasattr(BaseTuner, "_get_adapter_state_dict"):  # older ones save their own types only
    raise ImportError("bottleneck adapters need the library 'peft' from version 0.21 on")

START_STD = 1e-2  # of the down-projection, cut off at two of them (arXiv:1902.00751)


class BottleneckType(str, Enum):  # noqa: UP042  (PEFT's own types are made this way)
    """PEFT's own list of types cannot be extended; it asks for no more than equal text."""

    ONSA_BOTTLENECK = "ONSA_BOTTLENECK"


@dataclass
class BottleneckConfig(PeftConfig):
    """What `adapter_config.json` says of it.

    `target_modules` (endings of names, or a regular expression) are modules with a matrix; each
    output h of width d becomes h + `scaling` * up(f(down(h))), down to `bottleneck` numbers and up
    to d again, f by transformers' name for it.
    """

    target_modules: list[str] | str | None = None
    bottleneck: int = 64
    non_linearity: str = "gelu"
    scaling: float = 1.0
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = BottleneckType.ONSA_BOTTLENECK


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """A module of the base with adapters on its output, by name; the active ones in turn."""

    adapter_layer_names = ("onsa_down", "onsa_up")
    other_param_names = ("non_linearity", "scaling")

    def __init__(self, base_layer: nn.Module, name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.onsa_down = nn.ModuleDict()
        self.onsa_up = nn.ModuleDict()
        self.non_linearity: dict[str, Any] = {}
        self.scaling: dict[str, float] = {}
        self._active_adapter = name
        self.add(name, config)

    def add(self, name: str, config: BottleneckConfig) -> None:
        width = _output_width(self.get_base_layer())
        self.onsa_down[name] = nn.Linear(width, config.bottleneck)
        self.onsa_up[name] = nn.Linear(config.bottleneck, width)
        self.non_linearity[name] = ACT2FN[config.non_linearity]
        self.scaling[name] = config.scaling
        self._start(name)
        self._move_adapter_to_device_of_base_layer(name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _start(self, name: str) -> None:
        """Where nothing is added yet: `up` is zero, so `down` may be small at random."""
        down, up = self._linears(name)
        nn.init.trunc_normal_(down.weight, std=START_STD, a=-2 * START_STD, b=2 * START_STD)
        for zero in (down.bias, up.weight, up.bias):
            nn.init.zeros_(zero)

    def _linears(self, name: str) -> tuple[nn.Linear, nn.Linear]:
        return cast(nn.Linear, self.onsa_down[name]), cast(nn.Linear, self.onsa_up[name])

    def forward(self, *given: Any, **named: Any) -> Tensor:
        output: Tensor = self.base_layer(*given, **named)
        if self.disable_adapters:
            return output
        for name in self.active_adapters:
            if name in self.onsa_down:
                output = output + self._added(name, output).to(output.dtype)
        return output

    def _added(self, name: str, output: Tensor) -> Tensor:
        down, up = self._linears(name)
        seen = self._cast_input_dtype(output, down.weight.dtype)
        added: Tensor = up(self.non_linearity[name](down(seen)))
        return self.scaling[name] * added

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        raise NotImplementedError("what it adds is not linear, so no matrix can hold it")


class BottleneckModel(BaseTuner):
    """A model with bottleneck adapters."""

    prefix = "onsa_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  (the config names them)

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        assert isinstance(peft_config, BottleneckConfig)
        if isinstance(target, BottleneckLayer):
            target.add(adapter_name, peft_config)
            return
        layer = BottleneckLayer(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:  # a further one does not train by itself
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)


def _output_width(module: nn.Module) -> int:
    """Of a Linear, or of the transposed kind that GPT-2 has."""
    found = getattr(module, "out_features", None) or getattr(module, "nf", None)
    if not isinstance(found, int):
        raise ValueError(f"a {type(module).__name__} has no width that an adapter could have")
    return found


KIND = cast(PeftType, BottleneckType.ONSA_BOTTLENECK)
PEFT_TYPE_TO_CONFIG_MAPPING[KIND] = BottleneckConfig
PEFT_TYPE_TO_TUNER_MAPPING[KIND] = BottleneckModel
PEFT_TYPE_TO_PREFIX_MAPPING[KIND] = BottleneckModel.prefix
