"""Training an adapter of PEFT over a base that stays as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from pydantic import Field
from transformers.pytorch_utils import Conv1D

from onsa.adapter import Adapter
from onsa.choosing.choices import RateOf
from onsa.choosing.targets import module_paths, require_modules
from onsa.data.encoding import Encoder
from onsa.errors import InputError
from onsa.models import first_position, peft, shortened
from onsa.recipe import Training
from onsa.run import Run, Step
from onsa.settings import Budgeted
from onsa.training.train import train, train_mixed


class AdapterSettings(Budgeted):
    """What every adapter can be told; the other settings are PEFT's, under its names."""

    no_effect: ClassVar[frozenset[str]] = frozenset({"layer_decay", "learning_rates"})

    @property
    def virtual_tokens(self) -> int:
        """Positions of the model that the adapter takes before the input."""
        return 0

    def require(self, config: Any, training: Training, encoder: Encoder) -> None:
        """Refuse, before anything is trained, what the adapter does not fit.

        Raises:
            InputError: the model of this config, this training or this machine.
        """


def run_adapter(
    run: Run,
    name: str,
    function: Callable[..., dict[str, Any]],
    settings: AdapterSettings,
    **changes: Any,
) -> Adapter:
    """An adapter trained on all tasks by `function`, as the step `name` and its stage."""
    adapter: Adapter = train_mixed(
        run, name, name, settings.trained_tokens, function=function, settings=settings, **changes
    )
    return adapter


def train_adapter(
    step: Step,
    *,
    add: Callable[[Any], Any],
    rate_of: RateOf | None = None,
    **inputs: Any,
) -> dict[str, Any]:
    """`train` on what `add` makes of the model, all of it at one learning rate."""
    trained = train(step, reshape=add, rate_of=rate_of or _same_rate, **inputs)
    step.note(adapter_bytes=trained["weights"].stored_bytes)
    return trained


class OnModules(AdapterSettings):
    """Settings of adapters that sit on modules and are nothing but PEFT's."""

    target_modules: list[str] | str | None = Field(
        None, description="names of modules, 'all-linear', a regular expression; or PEFT's choice"
    )


def run_on_modules(run: Run, kind: str, settings: OnModules) -> Adapter:
    """An adapter of PEFT's type `kind`, which is the method's name too, trained on all tasks."""
    return run_adapter(run, kind, train_on_modules, settings, kind=kind)


def train_on_modules(
    step: Step, *, kind: str, settings: OnModules, **inputs: Any
) -> dict[str, Any]:
    """`train` with an adapter of PEFT's type `kind` on the model."""
    return train_adapter(step, add=partial(add_on_modules, kind, settings), **inputs)


def add_on_modules(kind: str, settings: OnModules, model: Any) -> Any:
    keys = settings.model_dump(exclude={"trained_tokens"}, exclude_none=True)
    for key in keys.keys() & {"target_modules", "feedforward_modules"}:
        require_modules(model, keys[key], key)
    return add_adapter(model, kind, keys)


def _same_rate(name: str, rate: float) -> float:
    return rate


def add_adapter(model: Any, kind: str, keys: Mapping[str, Any]) -> Any:
    """The model with a new adapter of PEFT's type `kind`, configured by `keys`.

    Raises:
        InputError: PEFT refuses the keys for this model.
    """
    library = peft()
    known = library.mapping.PEFT_TYPE_TO_CONFIG_MAPPING
    if kind.upper() not in known:
        raise InputError(
            f"peft {library.__version__} does not have it",
            where=kind,
            way_out="pip install --upgrade peft",
        )
    config_class = known[kind.upper()]
    if "fan_in_fan_out" in config_class.__dataclass_fields__:
        on_conv1d = sits_on_conv1d(model, keys.get("target_modules"))
        keys = {**keys, "fan_in_fan_out": on_conv1d}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about keys that are set on purpose
        try:
            config = config_class(task_type="CAUSAL_LM", **keys)
            _require_positions(model, config)
            return library.get_peft_model(model, config)
        except (ValueError, TypeError, NotImplementedError) as fault:  # Type: an older PEFT's keys
            raise InputError(
                f"cannot be put on this {model.config.model_type} ({shortened(fault)})",
                where=kind,
                way_out="change the settings that it names, or choose another method",
            ) from None


def _require_positions(model: Any, config: Any) -> None:
    """Refuse what stands before the prompt where PEFT's `generate` would miscount positions."""
    if config.is_prompt_learning and first_position(model.config):
        raise ValueError("its positions begin behind its padding token's")


def sits_on_conv1d(model: Any, modules: list[str] | str | None) -> bool:
    """Whether the modules store their matrices as inputs x outputs, as GPT-2 does."""
    if isinstance(modules, list):
        return any(
            isinstance(model.get_submodule(path), Conv1D) for path in module_paths(model, modules)
        )
    return any(isinstance(module, Conv1D) for module in model.modules())
