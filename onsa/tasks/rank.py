"""Two replies to a prompt, of which one is liked: a head puts a number on each (Bradley and Terry).

The head is what a reward model has; `chosen` must have the larger number than `rejected`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.models.head import Head
from onsa.tasks import Kind, Rows
from onsa.tasks._files import FileSettings, load_files


def load(settings: FileSettings, base_folder: Path, seed: int) -> Rows:
    rows = load_files(settings, base_folder, seed, feedback=True)
    return rows.changed(_ranked, Head("ranking"))


def _ranked(row: Example) -> Example:
    if "rejected" not in row.extra:
        raise InputError(
            "the row has no reply that was not liked",
            where=row.source,
            way_out="give prompt, chosen and rejected",
        )
    if row.extra["rejected"] == row.reply:
        raise InputError("both replies are the same", where=row.source, way_out="delete the row")
    return dataclasses.replace(row, target=1)


def score(reply: str, example: Example, settings: FileSettings) -> float:
    return float(reply.strip() == example.reply.strip())


KIND = Kind(
    name="rank",
    summary="Of two replies the one that was liked must have the larger number.",
    settings=FileSettings,
    load=load,
    metric="pairs ranked right",
    mode="head",
    score=score,
)
