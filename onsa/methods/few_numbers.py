"""A few numbers for each matrix: factors, coefficients of a transform, single entries.

Adapters of PEFT, by its names, with its settings and its defaults. `target_modules` left out are
those that PEFT chooses for the architecture; a fused matrix of query, key and value then has the
adapter as a whole.
"""

from __future__ import annotations

from pydantic import Field

from onsa.adapter import Adapter
from onsa.methods import method
from onsa.run import Run
from onsa.training.adapters import OnModules, run_on_modules

ProjectionKey = Field(0, ge=0, description="seed of the frozen random matrices")
SaveProjection = Field(True, description="keep the frozen random matrices in the adapter's file")
PlaceSeed = Field(777, ge=0, description="seed of where the coefficients are")


class Ia3(OnModules):
    feedforward_modules: list[str] | str | None = Field(
        None, description="which of target_modules have their input scaled, not their output"
    )


class Vera(OnModules):
    r: int = Field(256, ge=1, description="rank of the frozen random matrices")
    projection_prng_key: int = ProjectionKey
    save_projection: bool = SaveProjection
    vera_dropout: float = Field(0.0, ge=0, lt=1, description="of the adapter's input")
    d_initial: float = Field(0.1, description="where the scale of A starts")


class FourierFt(OnModules):
    n_frequency: int = Field(1000, ge=1, description="trained coefficients of a matrix")
    scaling: float = Field(150.0, gt=0, description="of the update")
    random_loc_seed: int = PlaceSeed


class WaveFt(OnModules):
    n_frequency: int = Field(2592, ge=1, description="trained coefficients of a matrix")
    scaling: float = Field(25.0, gt=0, description="of the update")
    wavelet_family: str = Field("db1", description="the wavelet, by PyWavelets' name")
    random_loc_seed: int = PlaceSeed
    proportional_parameters: bool = Field(
        False, description="coefficients in proportion to a matrix's sides"
    )


class Shira(OnModules):
    r: int = Field(32, ge=1, description="as many trained entries as a rank-r update would have")
    random_seed: int | None = Field(None, description="of which entries; or the recipe's seed")


@method("ia3", settings=Ia3, paper="arXiv:2205.05638")
def ia3(run: Run, settings: Ia3) -> Adapter:
    """Train one factor for each key, value and feed-forward activation."""
    return run_on_modules(run, "ia3", settings)


@method("vera", settings=Vera, paper="arXiv:2310.11454")
def vera(run: Run, settings: Vera) -> Adapter:
    """Train two vectors for each matrix around random matrices that all of them share."""
    return run_on_modules(run, "vera", settings)


@method("fourierft", settings=FourierFt, paper="arXiv:2405.03003", example={"n_frequency": 50})
def fourierft(run: Run, settings: FourierFt) -> Adapter:
    """Train a few Fourier coefficients of each matrix's update."""
    return run_on_modules(run, "fourierft", settings)


@method("waveft", settings=WaveFt, paper="arXiv:2505.12532", example={"n_frequency": 50})
def waveft(run: Run, settings: WaveFt) -> Adapter:
    """Train a few wavelet coefficients of each matrix's update."""
    return run_on_modules(run, "waveft", settings)


@method("shira", settings=Shira, paper="arXiv:2406.13175", example={"r": 4})
def shira(run: Run, settings: Shira) -> Adapter:
    """Train a few entries of each matrix, drawn at random."""
    return run_on_modules(run, "shira", settings)
