"""Rotations and reflections of each matrix's input or output, which keep its lengths.

Adapters of PEFT, by its names, with its settings and its defaults. `target_modules` left out are
those that PEFT chooses for the architecture; a fused matrix of query, key and value then has the
adapter as a whole.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from onsa.adapter import Adapter
from onsa.errors import InputError
from onsa.methods import method
from onsa.run import Run
from onsa.training.adapters import OnModules, run_on_modules


class Oft(OnModules):
    r: int = Field(0, ge=0, description="rotated blocks of a matrix, in place of their size")
    oft_block_size: int = Field(32, ge=0, description="size of a block; 0 where r is given")
    module_dropout: float = Field(0.0, ge=0, lt=1, description="of a whole block's rotation")
    block_share: bool = Field(False, description="one rotation for all blocks of a matrix")
    coft: bool = Field(False, description="keep each rotation within eps of none")
    eps: float = Field(6e-5, gt=0, description="how far a rotation may go with coft")

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Oft:
        if self.differs("eps") and not self.coft:
            raise InputError("eps has no effect without coft", way_out="write 'coft: true'")
        return self


class Hra(OnModules):
    r: int = Field(8, ge=1, description="reflections one after another")
    apply_GS: bool = Field(False, description="make them orthogonal to each other")  # noqa: N815


class Road(OnModules):
    variant: Literal["road_1", "road_2", "road_4"] = Field(
        "road_1", description="numbers trained for a pair of outputs: 2, 4 or 8"
    )
    group_size: int = Field(64, ge=2, description="outputs among which pairs are made; even")


@method("oft", settings=Oft, paper="arXiv:2306.07280")
def oft(run: Run, settings: Oft) -> Adapter:
    """Train rotations of blocks of each matrix's input."""
    return run_on_modules(run, "oft", settings)


@method("hra", settings=Hra, paper="arXiv:2405.17484")
def hra(run: Run, settings: Hra) -> Adapter:
    """Train a chain of reflections of each matrix's input."""
    return run_on_modules(run, "hra", settings)


@method("road", settings=Road, paper="arXiv:2409.00119", example={"group_size": 8})
def road(run: Run, settings: Road) -> Adapter:
    """Train a rotation and a length for each pair of a matrix's outputs."""
    return run_on_modules(run, "road", settings)
