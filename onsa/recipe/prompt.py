"""Ways of asking a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from onsa.errors import InputError
from onsa.settings import Settings

Pick = Literal["random", "balanced", "nearest"]


class Prompt(Settings):
    """A way of asking: what stands before a question, and before that."""

    system: str = Field("", description="a role, said before the rows' own system messages")
    instruction: str = Field("", description="what to do, said before each question")
    shots: int = Field(0, ge=0, le=100, description="examples from the training rows")
    pick: Pick = Field("random", description="the examples: random, balanced by reply, or nearest")

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Prompt:
        if self.differs("pick") and not self.shots:
            raise InputError("pick has no effect without shots", way_out="write 'shots: 4'")
        return self

    @property
    def told(self) -> str:
        """What it is, in a few words."""
        examples = f"{self.shots} {self.pick} example{'s' if self.shots > 1 else ''}"
        parts = [
            f"role «{self.system}»" if self.system else "",
            f"instruction «{self.instruction}»" if self.instruction else "",
            examples if self.shots else "",
        ]
        return ", ".join(filter(None, parts)) or "plain"


# What is tried where the recipe says no more than that prompts shall be.
USUAL_PROMPTS = (
    Prompt(),
    Prompt(instruction="Give only the answer, without any explanation."),
    Prompt(shots=4, pick="balanced"),
    Prompt(shots=4, pick="nearest"),
)
