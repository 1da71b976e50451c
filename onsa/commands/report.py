"""`onsa report`: the page of a finished run, made anew from its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from onsa.errors import InputError
from onsa.files import read_json, write_text
from onsa.report.pages.ranking import render_ranking
from onsa.report.pages.tuning import render

NEEDED = {"title", "model", "recipe", "onsa_version"}  # in every report, also of an adopted model
# What reading figures raises where one is of another kind than onsa writes; a template's own
# error is not an AttributeError.
NOT_AS_WRITTEN = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    TemplateError,
)


def read_report(folder: Path, name: str = "report") -> tuple[dict[str, Any], str]:
    """The figures of a run, or of a comparison by the name `compare`, and the page made from them.

    Raises:
        InputError: there are none, or they are not as they were written.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise InputError(
            "holds no finished run", where=folder, way_out="give the folder that 'onsa tune' wrote"
        )
    facts = read_json(path)
    try:
        if missing := NEEDED - facts.keys():
            raise KeyError(min(missing))
        return facts, render_ranking(facts) if name == "compare" else render(facts)
    except NOT_AS_WRITTEN as fault:
        raise InputError(
            f"is not as onsa wrote it ({type(fault).__name__}: {fault})",
            where=path,
            way_out="restore it, or delete it and start 'onsa tune' again: finished steps are kept",
        ) from None


def rewrite_page(folder: Path) -> bool:
    """Make `report.html` anew, or `compare.html` where that is all there is; then true."""
    is_comparison = (folder / "compare.json").is_file() and not (folder / "report.json").is_file()
    name = "compare" if is_comparison else "report"
    write_text(folder / f"{name}.html", read_report(folder, name)[1])
    return is_comparison
