"""Kinds by their names."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from onsa.errors import InputError, did_you_mean
from onsa.tasks._kind import Kind


@cache
def all_kinds() -> dict[str, Kind]:
    """Every kind in this folder, by name; files that begin with `_` hold no kind."""
    names = [
        item.name
        for item in pkgutil.iter_modules([str(Path(__file__).parent)])
        if item.name[0] != "_"
    ]
    modules = [importlib.import_module(f"onsa.tasks.{name}") for name in sorted(names)]
    return {module.KIND.name: module.KIND for module in modules}


def find_kind(name: str) -> Kind:
    """The kind by its name, or by its name and one of its tasks (`lm_eval:arc_easy`)."""
    own, colon, _ = name.partition(":")
    if own not in all_kinds():
        raise InputError(
            f"unknown kind of task {name!r}", where="kind", way_out=did_you_mean(own, all_kinds())
        )
    kind = all_kinds()[own]
    if colon and not kind.named:
        raise InputError(
            f"nothing follows {own!r} after a colon", where="kind", way_out=f"write 'kind: {own}'"
        )
    return kind
