"""Training an adapter of PEFT over a base that stays as it is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from pydantic import Field
from torch import nn
from transformers.pytorch_utils import Conv1D

from onsa.adapter import Adapter
from onsa.choosing.choices import RateOf
from onsa.choosing.targets import ALL_LINEAR, module_paths, require_modules
from onsa.data.encoding import Encoder
from onsa.errors import InputError, shortened
from onsa.models.heads import heads_of, is_generative, modules_of_heads
from onsa.models.loading import peft
from onsa.models.positions import first_position
from onsa.recipe.training import Training
from onsa.run import Run, Step
from onsa.settings import Budgeted
from onsa.training.train import train, train_mixed

LINEAR = (nn.Linear, Conv1D)
READ_BY_HEADS = re.compile(r"heads\.|pooler\.")


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

    def require_places(self, model: Any) -> None:
        for key in ("target_modules", "feedforward_modules"):
            if (named := getattr(self, key, None)) is not None:
                require_modules(model, named, key)


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
    settings.require_places(model)
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
    task_type: str | None = "CAUSAL_LM"
    if heads_of(model.config):
        keys = beside_heads(model, keys)
        task_type = "CAUSAL_LM" if is_generative(model.config) else None
    if "fan_in_fan_out" in config_class.__dataclass_fields__:
        on_conv1d = sits_on_conv1d(model, keys.get("target_modules"))
        keys = {**keys, "fan_in_fan_out": on_conv1d}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about keys that are set on purpose
        try:
            config = config_class(task_type=task_type, **keys)
            _require_positions(model, config)
            return library.get_peft_model(model, config)
        except (ValueError, TypeError, NotImplementedError) as fault:  # Type: an older PEFT's keys
            raise InputError(
                f"cannot be put on this {model.config.model_type} ({shortened(fault)})",
                where=kind,
                way_out="change the settings that it names, or choose another method",
            ) from None


def beside_heads(model: Any, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an adapter on a model that carries heads: these are trained whole, with the
    pooler that they may read, and no adapter sits on them."""
    targets = keys.get("target_modules")
    if targets == ALL_LINEAR:
        head = model.get_output_embeddings()
        linear = (name for name, each in model.named_modules() if isinstance(each, LINEAR))
        names = [
            n for n in linear if not READ_BY_HEADS.match(n) and model.get_submodule(n) is not head
        ]
        targets = sorted({name.rpartition(".")[2] for name in names})
    if isinstance(targets, list):
        ends = "|".join(map(re.escape, targets))
        targets = rf"(?!{READ_BY_HEADS.pattern})(.*\.)?({ends})"
    given = {} if targets is None else {"target_modules": targets}
    return {**keys, **given, "modules_to_save": modules_of_heads(model)}


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
