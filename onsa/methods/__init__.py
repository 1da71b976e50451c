"""Ways of tuning: each is one file in this folder, found by looking; there is no list to edit.

A method is a plain function `(run, settings) -> Weights`, or a dictionary of them where it makes
several models, decorated with its name, its paper and its settings:

    @method("full", settings=Full)
    def full(run: Run, settings: Full) -> Weights: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel

Function = Callable[[Any, Any], Any]
Epochs = Callable[[Any, float], float]


def plain_epochs(settings: Any, num_train_epochs: float) -> float:
    return num_train_epochs


@dataclass(frozen=True)
class Method:
    """A way of tuning: its name, what it does in one line, its settings and its source."""

    name: str
    function: Function
    settings: type[BaseModel]
    paper: str = ""
    example: Mapping[str, Any] = field(default_factory=dict)  # settings, where it needs some
    epochs: Epochs = plain_epochs  # passes over the data, by settings and num_train_epochs

    @property
    def trains(self) -> bool:
        """Whether it trains anything at all."""
        return self.epochs(self.settings(**self.example), 1.0) > 0

    @property
    def summary(self) -> str:
        return (self.function.__doc__ or "").strip().splitlines()[0]

    def __call__(self, run: Any, settings: BaseModel) -> Any:
        return self.function(run, settings)


_found: dict[str, Method] = {}


def method(
    name: str,
    *,
    settings: type[BaseModel],
    paper: str = "",
    example: Mapping[str, Any] | None = None,
    epochs: Epochs = plain_epochs,
) -> Callable[[Function], Function]:
    """Make a function the method `name`; `example` are settings it cannot do without."""

    def enter(function: Function) -> Function:
        assert name not in _found, f"two methods are named {name!r}"
        _found[name] = Method(name, function, settings, paper, example or {}, epochs)
        return function

    return enter


@cache
def all_methods() -> dict[str, Method]:
    """Every method in this folder, by name."""
    for module in sorted(item.name for item in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return dict(sorted(_found.items()))


def method_settings() -> dict[str, type[BaseModel]]:
    return {name: method.settings for name, method in all_methods().items()}


def chosen_settings(name: str, given: Mapping[str, Any]) -> BaseModel:
    """The settings of the method `name`; what it does not know of `given` is left out."""
    settings = all_methods()[name].settings
    return settings(**{key: value for key, value in given.items() if key in settings.model_fields})
