"""Back towards the base: all weights trained, then a straight line between before and after.

Wortsman et al. 2022, Robust fine-tuning of zero-shot models, arXiv:2109.01903.
"""

from __future__ import annotations

from pydantic import Field

from onsa.cores.steps import fuse_models
from onsa.methods import method
from onsa.run import Run
from onsa.settings import Budgeted
from onsa.training.train import train_mixed
from onsa.weights import Weights


class WiseFt(Budgeted):
    alpha: float = Field(
        0.5, gt=0, lt=1, description="how far from the base (0) to the tuned model (1)"
    )


@method("wise_ft", settings=WiseFt, paper="arXiv:2109.01903")
def wise_ft(run: Run, settings: WiseFt) -> Weights:
    """Train all weights on all tasks, then take a part of every change back."""
    tuned = train_mixed(run, "full", "mixed", settings.trained_tokens)
    fused = run.step(
        "interpolate",
        fuse_models,
        base=run.base,
        tuned={"mixed": tuned},
        cores={},
        blend="update_sum",
        conflict="larger_update",
        settings={"scale": settings.alpha},
    )
    weights: Weights = fused["weights"]
    run.stage(f"{settings.alpha:g} of the way", weights)
    return weights
