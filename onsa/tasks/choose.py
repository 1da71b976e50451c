"""Multiple choice: the likeliest of the choices' letters is the reply."""

from __future__ import annotations

from pathlib import Path

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.tasks import Kind, Rows
from onsa.tasks._files import FileSettings, load_files


def load(settings: FileSettings, base_folder: Path, seed: int) -> Rows:
    rows = load_files(settings, base_folder, seed)
    for example in (*rows.train, *rows.evaluation):
        if "choices" not in example.extra:
            raise InputError(
                "the row has no choices",
                where=example.source,
                way_out="give question, options and answer, or 'columns: {prompt: ..., "
                "choices: [...], answer: ...}'",
            )
    return rows


def score(reply: str, example: Example, settings: FileSettings) -> float:
    return float(reply.strip() == example.extra["answer"])


KIND = Kind(
    name="choose",
    summary="The likeliest of the choices' letters must be the right one.",
    settings=FileSettings,
    load=load,
    metric="accuracy",
    mode="choose",
    score=score,
)
