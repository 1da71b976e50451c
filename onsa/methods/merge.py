"""Specialists made one model without training them together: the baselines of model merging.

Mean and SLERP; task arithmetic (`update_sum`, arXiv:2212.04089); TIES (arXiv:2306.01708); DARE
(arXiv:2311.03099); consensus (arXiv:2405.07813).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from onsa.cores import blends
from onsa.cores.steps import fuse_models, fusion_facts
from onsa.methods import method
from onsa.recipe.training import BEST_STATE_KEYS
from onsa.run import Run
from onsa.settings import Budgeted, known_in
from onsa.training.specialists import train_specialists
from onsa.weights import Weights

OF_THE_BLEND = ("epsilon", "scale", "density", "agreement", "drop")


class Merge(Budgeted):
    no_effect: ClassVar[frozenset[str]] = BEST_STATE_KEYS

    blend: Annotated[str, known_in(blends.blends)] = Field(
        "linear", description="how the specialists become one model"
    )
    epsilon: float | None = Field(None, description="of 'slerp': radians of a straight line")
    scale: float | None = Field(None, description="lambda of 'update_sum', 'ties', 'dare' …")
    density: float | None = Field(None, description="of 'ties': share of each update that is kept")
    agreement: float | None = Field(
        None, description="of 'consensus': what an update must outweigh"
    )
    drop: float | None = Field(None, description="of 'dare': share of each update that is dropped")

    @property
    def blend_settings(self) -> dict[str, float]:
        given = {key: getattr(self, key) for key in OF_THE_BLEND}
        return {key: value for key, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Merge:
        blends.require_known_settings(self.blend, self.blend_settings)
        return self


@method("merge", settings=Merge, paper="arXiv:2212.04089")
def merge(run: Run, settings: Merge) -> Weights:
    """Train one model for each task and blend them into one, with no training together."""
    specialists = train_specialists(run, settings.trained_tokens)
    fused = run.step(
        "merge",
        fuse_models,
        base=run.base,
        tuned=specialists,
        cores={},
        blend=settings.blend,
        conflict="larger_update",
        settings=blends.seeded(settings.blend, settings.blend_settings, run.recipe.seed),
    )
    run.find(fusion=fusion_facts(fused["record"]))
    run.stage("merged", fused["weights"])
    weights: Weights = fused["weights"]
    return weights
