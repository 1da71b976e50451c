"""`onsa data`: what is in data files, and the same rows cleaned by named rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from onsa import __version__
from onsa.data.by_value import ByValue, ColumnSplit
from onsa.errors import InputError
from onsa.files import write_text
from onsa.inspection.characters import Span
from onsa.inspection.cleaning import check_output, clean
from onsa.inspection.inspect import Facts, Wanted, inspect
from onsa.inspection.near import MOST_ROWS
from onsa.inspection.overlap import Evaluation
from onsa.inspection.personal_data import find_personal_data
from onsa.inspection.records import Reading
from onsa.inspection.rules import NEEDS_EVALUATION, NEEDS_NEAR, Rules, parse_rules
from onsa.progress import Progress
from onsa.settings import validated

SPLIT = "column=usage,train=train,eval=test"
SECONDS_BETWEEN_LINES = 10.0
ROWS_BETWEEN_LOOKS = 4096  # at the clock


@dataclass(frozen=True)
class Request:
    """What `onsa data` was asked for; texts are as they were written."""

    files: Sequence[str]
    evaluation: str | None = None
    model: str | None = None
    columns: str | None = None
    format: str | None = None
    near: str | None = None
    presidio: str | None = None
    write: Path | None = None
    rules: str | None = None
    page: Path | None = None
    where: str | None = None
    split: str | None = None


def examine(request: Request, progress: Progress) -> Facts:
    """Inspect the files, clean them if asked, write the page if asked; the facts as JSON.

    Raises:
        InputError: whatever is wrong with the request or the files.
    """
    rules = _checked(request)
    reading = _reading(request, "train")
    wanted = _wanted(request, rules, progress)
    evaluation = _evaluation(request, wanted)
    facts: Facts = {
        "title": ", ".join(request.files),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "onsa_version": __version__,
        "files": list(request.files),
        "evaluation": request.evaluation or request.split,
        **inspect(reading.records_of(request.files), wanted, evaluation),
    }
    facts["shapes"] = {path: reading.shapes[path].name for path in request.files}
    facts["notes"] = [*reading.notes, *facts["notes"]]
    if request.write is not None:
        progress.say(f"writing {request.write}")
        facts["cleaned"] = _cleaned(request, request.write, rules, reading, wanted)
    if request.page is not None:
        from onsa.report.pages.inspection import render_inspection

        write_text(request.page, render_inspection(facts))
    return facts


def _checked(request: Request) -> list[str]:
    """The rules, once all that can be checked before anything is read is found to be right."""
    named = [*request.files, *([request.evaluation] if request.evaluation else [])]
    inputs = [Path(name.partition("#")[0]) for name in named]
    if request.write is None and request.rules is not None:
        raise InputError("rules without --write do nothing", where="--rules", way_out="add --write")
    if request.page is not None:
        _check_page(request.page)
    if request.split is not None and request.evaluation is not None:
        raise InputError(
            "split and eval both say what is scored on", where="--split", way_out="leave one out"
        )
    if request.write is None:
        return []
    rules = parse_rules(request.rules, bool(request.evaluation or request.split))
    check_output(request.write, inputs)
    if request.near == "0" and set(rules) & set(NEEDS_NEAR):
        raise InputError(
            "the rules search what --near 0 does not", where="--near", way_out="leave one out"
        )
    return rules


def _check_page(page: Path) -> None:
    if page.suffix != ".html":
        raise InputError("a page is HTML", where=page, way_out="end its name in .html")
    if not page.parent.is_dir():
        raise InputError("there is no such folder", where=page.parent, way_out="make it first")


def _wanted(request: Request, rules: Sequence[str], progress: Progress) -> Wanted:
    near_rows = parse_near(request.near)
    return Wanted(
        near_rows=near_rows,
        must_find_near=request.near not in (None, "0") or bool(set(rules) & set(NEEDS_NEAR)),
        find_personal=_finder(request.presidio),
        tokenizer=_tokenizer(request.model),
        said=_counted(progress),
    )


def _reading(request: Request, side: Literal["train", "eval"]) -> Reading:
    """How the training rows are read, or the rows to score on."""
    pairs = parse_pairs(request.where, "--where", "language=ja")
    where = [ByValue(column, tuple(values)) for column, values in pairs.items()]
    split = parse_split(request.split)
    if split is not None:
        where.append(split.side(side))
    return Reading(
        Path(),
        parse_columns(request.columns),
        request.format,
        where,
        header=not any(is_number(each.column) for each in where),
    )


def _evaluation(request: Request, wanted: Wanted) -> Evaluation | None:
    reading = _reading(request, "eval")
    if request.evaluation is not None:
        return wanted.evaluation(reading.records(request.evaluation))
    return wanted.evaluation(reading.records_of(request.files)) if request.split else None


def _cleaned(
    request: Request, output: Path, names: Sequence[str], reading: Reading, wanted: Wanted
) -> Facts:
    """Reads the files again, and the evaluation too: its index counts what it has looked at."""
    rules = Rules(
        names,
        find_personal=wanted.find_personal,
        evaluation=_evaluation(request, wanted) if set(names) & set(NEEDS_EVALUATION) else None,
        index=wanted.near_index([]) if "near_duplicates" in names else None,
    )
    return clean(lambda: reading.records_of(request.files), rules, output)


def parse_columns(text: str | None) -> dict[str, Any] | None:
    """`prompt=question,reply=answer`; a part that is named twice has several columns."""
    if text is None:
        return None
    columns = {
        part: [int(name) if is_number(name) else name for name in names]
        for part, names in parse_pairs(text, "--columns", "prompt=question,reply=answer").items()
    }
    return {part: names if len(names) > 1 else names[0] for part, names in columns.items()}


def parse_split(text: str | None) -> ColumnSplit | None:
    """`column=usage,train=train,eval=test`; a side that is named twice takes several values."""
    if text is None:
        return None
    pairs: dict[str, Any] = parse_pairs(text, "--split", SPLIT)
    if len(pairs.get("column", [])) != 1:
        raise InputError("one column says it", where="--split", way_out=f"write {SPLIT}")
    column = pairs["column"][0]
    pairs["column"] = int(column) if is_number(column) else column
    return validated(ColumnSplit, pairs, "--split")


def parse_pairs(text: str | None, option: str, like: str) -> dict[str, list[str]]:
    """What stands on the right for each name on the left of an equals sign."""
    pairs: dict[str, list[str]] = {}
    for pair in text.split(",") if text is not None else ():
        name, sign, value = pair.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise InputError(
                f"{pair.strip()!r} is no pair of a name and a column or value",
                where=option,
                way_out=f"write {like}",
            )
        pairs.setdefault(name.strip(), []).append(value.strip())
    return pairs


def is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def parse_near(text: str | None) -> int | None:
    """Rows in which near duplicates are searched: a number, or None for all."""
    if text is None:
        return MOST_ROWS
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise InputError(
            f"{text!r} is no number of rows",
            where="--near",
            way_out="write a number, all, or 0 for none",
        )
    return int(text)


def _finder(presidio: str | None) -> Callable[[str], list[Span]]:
    if presidio is None:
        return find_personal_data
    from onsa.inspection.presidio import presidio_finder

    return presidio_finder(presidio)


def _tokenizer(model: str | None) -> Any:
    """The tokenizer of a folder or of a model on the hub; a plain template where it has none."""
    if model is None:
        return None
    from onsa.models.base_model import find_model
    from onsa.models.tokenizer import PLAIN_TEMPLATE, load_tokenizer

    folder = Path(model) if Path(model).is_dir() else find_model(model, Path())
    try:
        return load_tokenizer(folder)
    except InputError:  # of any other cause, it is raised again
        return load_tokenizer(folder, PLAIN_TEMPLATE)


def _counted(progress: Progress) -> Callable[[int], None]:
    """Says how many rows were read, now and then."""
    said = time.monotonic()

    def count(rows: int) -> None:
        nonlocal said
        if rows % ROWS_BETWEEN_LOOKS == 0 and time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            progress.say(f"{rows:,} rows")

    return count
