"""Replies whose final number counts, as in GSM8K (arXiv:2110.14168)."""

from __future__ import annotations

from onsa.data.example import Example
from onsa.metrics.text import final_number
from onsa.tasks import Kind
from onsa.tasks._files import GenerationSettings, load_files


def score(reply: str, example: Example, settings: GenerationSettings) -> float:
    wanted = final_number(example.reply)
    return float(wanted is not None and final_number(reply) == wanted)


KIND = Kind(
    name="number",
    summary="The final number of the reply must be the reference's; it may follow '####'.",
    settings=GenerationSettings,
    load=load_files,
    metric="final number",
    mode="generate",
    score=score,
)
