"""`onsa diff`: what changed between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onsa.commands.labels import labels_for
from onsa.commands.report import NOT_AS_WRITTEN, read_report
from onsa.errors import InputError
from onsa.figures.difference import difference
from onsa.figures.record import Record, check_rows, main_label
from onsa.figures.rows import FILE
from onsa.files import read_json, write_text
from onsa.report.pages.difference import render_difference
from onsa.report.pages.evaluation import render_evaluation
from onsa.report.pages.ranking import render_ranking

KINDS = {"report.json": "tune", "compare.json": "compare", "eval.json": "eval"}
RENDERED = {"compare": render_ranking, "eval": render_evaluation}


def compare_runs(first: Path, second: Path, page: Path | None = None) -> dict[str, Any]:
    """What differs between two folders of `tune`, `compare` or `eval`; the page, where asked for.

    Raises:
        InputError: one holds no finished run, or its figures are not as they were written.
    """
    if first.resolve() == second.resolve():
        raise InputError("is named twice", where=second, way_out="name two runs")
    names = labels_for([str(first), str(second)])
    records = [read_record(path, name) for path, name in zip((first, second), names, strict=True)]
    try:
        facts = difference(*records)
        drawn = render_difference(facts)
    except NOT_AS_WRITTEN as fault:
        raise _not_as_written(f"{first} or {second}", fault) from None
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_text(page, drawn)
    return facts


def read_record(folder: Path, name: str) -> Record:
    """A finished run as it says of itself.

    Raises:
        InputError: there is none, or its figures are not as they were written.
    """
    found = next((file for file in KINDS if (folder / file).is_file()), None)
    if found is None:
        raise InputError(
            "holds no finished run",
            where=folder,
            way_out="give the folder that 'onsa tune', 'compare' or 'eval' wrote",
        )
    facts, kind = _facts(folder, found), KINDS[found]
    return Record(name, kind, facts, _rows(folder), main_label(kind, facts))


def _facts(folder: Path, file: str) -> dict[str, Any]:
    if KINDS[file] == "tune":
        return read_report(folder)[0]
    facts = read_json(folder / file)
    try:
        RENDERED[KINDS[file]](facts)
    except NOT_AS_WRITTEN as fault:
        raise _not_as_written(folder / file, fault) from None
    return facts


def _rows(folder: Path) -> dict[str, Any] | None:
    if not (folder / FILE).is_file():
        return None
    rows = read_json(folder / FILE)
    try:
        check_rows(rows)
    except NOT_AS_WRITTEN as fault:
        raise _not_as_written(folder / FILE, fault) from None
    return rows


def _not_as_written(where: object, fault: Exception) -> InputError:
    return InputError(
        f"is not as onsa wrote it ({type(fault).__name__}: {fault})",
        where=where,
        way_out="restore it, or start the command that wrote it again: finished steps are kept",
    )
