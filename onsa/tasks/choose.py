"""Multiple choice: the likeliest of the choices' letters is the reply, or the letter generated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.tasks import Kind, Mode, Rows
from onsa.tasks._files import FileSettings, load_files

# Where a reply may have its letter, the surest place first: at its beginning ('B', '(B) 3'), after
# the word answer ('The answer is B', '答えはB'), or by itself anywhere.
LETTERS = (
    re.compile(r"^\W*([A-Z])(?=\W*$|[.):．）：、。,]|\s*\n)"),
    re.compile(r"(?i:answer|答え|回答|正解)(?i:\s+is|は)?[\s:：「(（*]*([A-Z])(?![A-Za-z])"),
    re.compile(r"(?<![A-Za-z])([A-Z])(?![A-Za-z'’])"),
)
LETTER_TOKENS = 16  # of a generated reply, in which the letter must stand


class Choose(FileSettings):
    by: Literal["likelihood", "letter"] = Field(
        "likelihood", description="the likeliest letter, or the first one in a generated reply"
    )
    max_new_tokens: int = Field(
        LETTER_TOKENS, ge=1, description="longest reply that is generated, for by: letter"
    )

    @model_validator(mode="after")
    def _a_length_has_an_effect(self) -> Choose:
        if self.by == "likelihood" and self.differs("max_new_tokens"):
            raise ValueError("max_new_tokens has no effect with by: likelihood")
        return self

    @property
    def mode(self) -> Mode:
        return "choose" if self.by == "likelihood" else "generate"


def load(settings: Choose, base_folder: Path, seed: int) -> Rows:
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


def score(reply: str, example: Example, settings: Choose) -> float:
    if settings.by == "letter":
        return float(letter_in(reply, example.extra["choices"]) == example.extra["answer"])
    return float(reply.strip() == example.extra["answer"])


def letter_in(reply: str, letters: Sequence[str]) -> str | None:
    """The letter that a reply gives as its answer; None where it gives none."""
    for pattern in LETTERS:
        found = [letter for letter in pattern.findall(reply) if letter in letters]
        if found:
            return found[0]
    return None


KIND = Kind(
    name="choose",
    summary="The likeliest of the choices' letters must be the right one.",
    settings=Choose,
    load=load,
    metric="accuracy",
    mode="choose",
    score=score,
)
