"""A text, or two, with a number, said by a new head."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import Field, field_validator

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.metrics.intervals import Measures
from onsa.metrics.regression import regression
from onsa.models.head import Head
from onsa.tasks import Kind, Rows
from onsa.tasks._files import FileSettings, load_files


class Regress(FileSettings):
    scale: tuple[float, float] | None = Field(
        None, description="lowest and highest number; else those of the training rows"
    )

    @field_validator("scale")
    @classmethod
    def _rises(cls, scale: tuple[float, float] | None) -> tuple[float, float] | None:
        if scale is not None and not -math.inf < scale[0] < scale[1] < math.inf:
            raise ValueError("must be two numbers, the second above the first")
        return scale


def load(settings: Regress, base_folder: Path, seed: int) -> Rows:
    rows = load_files(settings, base_folder, seed)
    numbers = [number_of(row) for row in rows.train]
    low, high = settings.scale or (min(numbers), max(numbers))
    if low == high:
        raise InputError(
            f"all numbers are {low:g}", where=rows.train[0].source, way_out="give others as well"
        )
    spread = statistics.pstdev(numbers) or high - low
    head = Head("regression", (), statistics.fmean(numbers), spread)
    return rows.changed(partial(_numbered, scale=(low, high)), head)


def number_of(row: Example) -> float:
    written = row.extra.get("label", row.reply)
    try:
        number = float(written)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"{str(written)[:40]!r} is no number", where=row.source, way_out="mend the row"
        )
    return number


def _numbered(row: Example, scale: tuple[float, float]) -> Example:
    number = number_of(row)
    extra = {**row.extra, "label": number, "scale": list(scale)}
    return dataclasses.replace(row, extra=extra, target=number)


def score(reply: str, example: Example, settings: Regress) -> float:
    """1 less the distance from the right number, as a share of the scale; never below 0."""
    low, high = example.extra["scale"]
    try:
        return max(0.0, 1 - abs(float(reply) - example.extra["label"]) / (high - low))
    except ValueError:
        return 0.0


def measures(replies: Sequence[str], examples: Sequence[Example], settings: Regress) -> Measures:
    """Errors and correlations; a base whose head is new says numbers too."""
    return regression([row.extra["label"] for row in examples], [float(each) for each in replies])


KIND = Kind(
    name="regress",
    summary="1 less the distance from the right number, as a share of the scale.",
    settings=Regress,
    load=load,
    metric="closeness",
    mode="head",
    score=score,
    measures=measures,
    lower_is_better=frozenset({"MSE", "MAE"}),
)
