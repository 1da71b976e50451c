"""Some of the original weights: parts, blocks or patterns; the rest stays as it is.

Biases alone are BitFit (Ben Zaken et al. 2022, arXiv:2106.10199); feed-forward or attention alone,
see Ye et al. 2023, arXiv:2312.15681.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from onsa.choosing.choices import Part, choose
from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.methods import method
from onsa.run import Run
from onsa.settings import Budgeted
from onsa.training.train import train_mixed
from onsa.weight_ops import Shapes
from onsa.weights import Weights


class Partial(Budgeted):
    parts: list[Part] = Field(
        [], description="of embedding, attention, mlp, norm, head, bias; none given: all"
    )
    patterns: list[str] = Field(
        [], description="tensor names, with * or after 're:', beside the parts"
    )
    first_blocks: int | None = Field(None, ge=1, description="only in so many blocks from below")
    last_blocks: int | None = Field(None, ge=1, description="only in so many blocks from above")

    @model_validator(mode="after")
    def _something_is_chosen(self) -> Partial:
        if not (self.parts or self.patterns or self.first_blocks or self.last_blocks):
            raise InputError(
                "partial needs parts, patterns, first_blocks or last_blocks",
                way_out="write 'last_blocks: 4', or 'parts: [attention]', or take method 'full'",
            )
        return self

    def chosen(self, shapes: Shapes) -> ParameterMask:
        return choose(shapes, self.parts, self.patterns, self.first_blocks, self.last_blocks)

    def require_places(self, model: Any) -> None:
        self.chosen({name: tuple(each.shape) for name, each in model.named_parameters()})


@method("partial", settings=Partial, paper="arXiv:2106.10199", example={"parts": ["mlp"]})
def partial(run: Run, settings: Partial) -> Weights:
    """Train some parts, blocks or patterns of the weights, and hold the rest."""
    chosen = settings.chosen(run.base.float_shapes)
    rule = "what was not chosen"
    return train_mixed(
        run, "partial", "partial", settings.trained_tokens, hold=~chosen, hold_rule=rule
    )
