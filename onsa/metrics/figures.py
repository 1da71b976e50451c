"""Names of figures as a recipe writes them: `F1 macro` is `f1_macro`, and `macro_f1` too."""

from __future__ import annotations

import re
from collections.abc import Iterable


def written(figure: str) -> str:
    """A figure's name in small letters without blanks: `ROUGE-2` is `rouge2`, `R²` is `r2`."""
    plain = figure.casefold().replace("²", "2")
    joined = re.sub(r"(?<=[a-z])['-](?=\w\b)", "", plain)
    return "_".join(re.findall(r"[\w@+]+", joined))


def find_figure(asked: str, figures: Iterable[str]) -> str | None:
    """The figure that is meant by `asked`, whatever the order of its words; None where none is."""
    wanted = written(asked)
    return next((figure for figure in figures if _alike(wanted, written(figure))), None)


def _alike(one: str, other: str) -> bool:
    if one.replace("_", "") == other.replace("_", ""):
        return True
    return sorted(one.split("_")) == sorted(other.split("_"))
