"""Bottleneck adapters: small networks behind attention and feed-forward of a base that is still.

Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP, arXiv:1902.00751; behind the
feed-forward only: Pfeiffer et al. 2020, MAD-X, arXiv:2005.00052, and AdapterFusion,
arXiv:2005.00247.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field

from onsa.adapter import Adapter
from onsa.choosing.targets import Writer, find_writers
from onsa.methods import method
from onsa.run import Run, Step
from onsa.training.adapters import AdapterSettings, add_adapter, run_adapter, train_adapter

TYPE = "onsa.models.peft_bottleneck"  # the module that makes it known to PEFT
PLACES: dict[str, tuple[Writer, ...]] = {
    "houlsby": ("attention", "mlp"),
    "pfeiffer": ("mlp",),
}


class Bottleneck(AdapterSettings):
    placement: Literal["houlsby", "pfeiffer"] = Field(
        "houlsby", description="behind attention and feed-forward, or behind feed-forward only"
    )
    bottleneck: int = Field(64, ge=1, description="width that an output is narrowed to")
    non_linearity: Literal["relu", "gelu", "silu"] = Field(
        "gelu", description="between narrowing and widening"
    )
    scaling: float = Field(1.0, gt=0, description="factor of what is added")


@method("adapter", settings=Bottleneck, paper="arXiv:1902.00751")
def adapter(run: Run, settings: Bottleneck) -> Adapter:
    """Train small networks that are put behind attention and feed-forward."""
    if run.path == run.recipe.method:  # not where it is a baseline, whose adapter is not exported
        run.warn(f"PEFT loads the adapter in model/ after 'import {TYPE}'; it cannot be merged")
        run.find(imports=[TYPE])
    return run_adapter(run, "adapter", train_bottlenecks, settings)


def train_bottlenecks(step: Step, *, settings: Bottleneck, **inputs: Any) -> dict[str, Any]:
    """`train` with bottleneck adapters in the model."""
    return train_adapter(step, add=partial(add_bottlenecks, settings), **inputs)


def add_bottlenecks(settings: Bottleneck, model: Any) -> Any:
    keys = settings.model_dump(exclude={"trained_tokens", "placement"})
    keys["target_modules"] = find_writers(model, PLACES[settings.placement])
    return add_adapter(model, "onsa_bottleneck", keys)
