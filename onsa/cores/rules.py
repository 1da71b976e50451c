"""Rules that a recipe chooses by name: plain functions in a table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Generic, TypeVar

from onsa.errors import InputError, did_you_mean

Rule = TypeVar("Rule", bound=Callable[..., object])


class Rules(Generic[Rule]):
    """The rules of one kind. As a decorator it adds a function under the function's own name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._rules: dict[str, Rule] = {}

    def __call__(self, function: Rule) -> Rule:
        self._rules[function.__name__] = function
        return function

    def __getitem__(self, name: str) -> Rule:
        if name not in self._rules:
            raise InputError(
                f"there is no {self.kind} {name!r}", way_out=did_you_mean(name, self._rules)
            )
        return self._rules[name]

    def descriptions(self) -> dict[str, str]:
        """Each rule's name and the first line of its docstring."""
        return {
            name: (inspect.getdoc(rule) or "").partition("\n")[0]
            for name, rule in self._rules.items()
        }
