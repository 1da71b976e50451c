"""Other adapters of PEFT, by its names, with its settings and its defaults.

`target_modules` left out are those that PEFT chooses for the architecture; a fused matrix of query,
key and value then has the adapter as a whole.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from onsa.adapter import Adapter
from onsa.choosing.targets import require_modules
from onsa.methods import method
from onsa.run import Run, Step
from onsa.training.adapters import AdapterSettings, add_adapter, run_adapter, train_adapter

Dropout = Field(0.0, ge=0, lt=1, description="of the adapter's input")
ProjectionKey = Field(0, ge=0, description="seed of the frozen random matrices")
SaveProjection = Field(True, description="keep the frozen random matrices in the adapter's file")


class OnModules(AdapterSettings):
    target_modules: list[str] | str | None = Field(
        None, description="names of modules, 'all-linear', a regular expression; or PEFT's choice"
    )


class Ia3(OnModules):
    feedforward_modules: list[str] | str | None = Field(
        None, description="which of target_modules have their input scaled, not their output"
    )


class Vera(OnModules):
    r: int = Field(256, ge=1, description="rank of the frozen random matrices")
    projection_prng_key: int = ProjectionKey
    save_projection: bool = SaveProjection
    vera_dropout: float = Dropout
    d_initial: float = Field(0.1, description="where the scale of A starts")


class FourierFt(OnModules):
    n_frequency: int = Field(1000, ge=1, description="trained coefficients of a matrix")
    scaling: float = Field(150.0, gt=0, description="of the update")
    random_loc_seed: int = Field(777, ge=0, description="seed of where the coefficients are")


class RandLora(OnModules):
    r: int = Field(32, ge=1, description="rank of each random basis; fewer bases where larger")
    randlora_alpha: int = Field(640, ge=1, description="scale of the update, over r")
    randlora_dropout: float = Dropout
    projection_prng_key: int = ProjectionKey
    save_projection: bool = SaveProjection
    sparse: bool = Field(False, description="bases of -1, 0 and 1")
    very_sparse: bool = Field(False, description="bases with fewer entries that are not 0")


class GraLora(OnModules):
    r: int = Field(32, ge=1, description="rank, divided among the blocks of a matrix")
    hybrid_r: int = Field(0, ge=0, description="rank of a plain low-rank update beside them")
    alpha: int = Field(64, ge=1, description="scale of the update, over r")
    gralora_dropout: float = Dropout
    gralora_k: int = Field(2, ge=1, description="blocks along each side of a matrix")


@method("ia3", settings=Ia3, paper="arXiv:2205.05638")
def ia3(run: Run, settings: Ia3) -> Adapter:
    """Train one factor for each key, value and feed-forward activation."""
    return run_adapter(run, "ia3", train_on_modules, settings, kind="ia3")


@method("vera", settings=Vera, paper="arXiv:2310.11454")
def vera(run: Run, settings: Vera) -> Adapter:
    """Train two vectors for each matrix around random matrices that all of them share."""
    return run_adapter(run, "vera", train_on_modules, settings, kind="vera")


@method("fourierft", settings=FourierFt, paper="arXiv:2405.03003", example={"n_frequency": 50})
def fourierft(run: Run, settings: FourierFt) -> Adapter:
    """Train a few Fourier coefficients of each matrix's update."""
    return run_adapter(run, "fourierft", train_on_modules, settings, kind="fourierft")


@method("randlora", settings=RandLora, paper="arXiv:2502.00987")
def randlora(run: Run, settings: RandLora) -> Adapter:
    """Train the scales of frozen random bases, whose sum is an update of full rank."""
    return run_adapter(run, "randlora", train_on_modules, settings, kind="randlora")


@method("gralora", settings=GraLora, paper="arXiv:2505.20355")
def gralora(run: Run, settings: GraLora) -> Adapter:
    """Train a low-rank update of each block of a matrix."""
    return run_adapter(run, "gralora", train_on_modules, settings, kind="gralora")


def train_on_modules(
    step: Step, *, kind: str, settings: OnModules, **inputs: Any
) -> dict[str, Any]:
    """`train` with an adapter of PEFT's type `kind` on the model."""
    return train_adapter(step, add=partial(add_on_modules, kind, settings), **inputs)


def add_on_modules(kind: str, settings: OnModules, model: Any) -> Any:
    keys = settings.model_dump(exclude={"trained_tokens"}, exclude_none=True)
    for key in keys.keys() & {"target_modules", "feedforward_modules"}:
        require_modules(model, keys[key], key)
    return add_adapter(model, kind, keys)
