"""Replies that must equal a reference, but for white space and Unicode form."""

from __future__ import annotations

from pydantic import Field

from onsa.data.example import Example
from onsa.metrics.text import same_text
from onsa.tasks import Kind
from onsa.tasks._files import GenerationSettings, load_files


class Generate(GenerationSettings):
    ignore_case: bool = Field(False, description="'Yes' and 'yes' are the same")


def score(reply: str, example: Example, settings: Generate) -> float:
    answers = example.extra.get("answers") or [example.reply]  # of a passage, several may be right
    return float(any(same_text(reply, each, ignore_case=settings.ignore_case) for each in answers))


KIND = Kind(
    name="generate",
    summary="The reply must equal the reference, but for white space and Unicode form.",
    settings=Generate,
    load=load_files,
    metric="exact match",
    mode="generate",
    score=score,
)
