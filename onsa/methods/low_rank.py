"""Products of small matrices, other than LoRA's, added to each matrix.

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

Rank = Field(8, ge=1, description="rank of each small matrix")
Alpha = Field(8, ge=1, description="scale of the update, over r")
Dropout = Field(0.0, ge=0, lt=1, description="of the adapter's input")
RankDropout = Field(0.0, ge=0, lt=1, description="of rows of the update")
ModuleDropout = Field(0.0, ge=0, lt=1, description="of a matrix's whole update")


class LoHa(OnModules):
    r: int = Rank
    alpha: int = Alpha
    rank_dropout: float = RankDropout
    module_dropout: float = ModuleDropout


class LoKr(OnModules):
    r: int = Rank
    alpha: int = Alpha
    rank_dropout: float = RankDropout
    module_dropout: float = ModuleDropout
    decompose_both: bool = Field(False, description="the left factor has a low rank too")
    decompose_factor: int = Field(-1, description="size of the left factor; -1: about the root")
    rank_dropout_scale: bool = Field(False, description="what rank_dropout leaves is scaled up")


class HiRa(OnModules):
    r: int = Field(32, ge=1, description="rank of what each entry of a matrix is multiplied by")
    hira_dropout: float = Dropout


class DeLora(OnModules):
    r: int = Rank
    delora_lambda: int = Field(
        15, ge=1, description="where the trained bound of the update's norm starts"
    )
    module_dropout: float = ModuleDropout


class Miss(OnModules):
    r: int = Field(
        64, ge=1, description="rows of the one small matrix, shared by pieces of the input"
    )
    miss_dropout: float = Dropout


class RandLora(OnModules):
    r: int = Field(32, ge=1, description="rank of each random basis; fewer bases where larger")
    randlora_alpha: int = Field(640, ge=1, description="scale of the update, over r")
    randlora_dropout: float = Dropout
    projection_prng_key: int = Field(0, ge=0, description="seed of the frozen random bases")
    save_projection: bool = Field(True, description="keep the bases in the adapter's file")
    sparse: bool = Field(False, description="bases of -1, 0 and 1")
    very_sparse: bool = Field(False, description="bases with fewer entries that are not 0")


class GraLora(OnModules):
    r: int = Field(32, ge=1, description="rank, divided among the blocks of a matrix")
    hybrid_r: int = Field(0, ge=0, description="rank of a plain low-rank update beside them")
    alpha: int = Field(64, ge=1, description="scale of the update, over r")
    gralora_dropout: float = Dropout
    gralora_k: int = Field(2, ge=1, description="blocks along each side of a matrix")


@method("loha", settings=LoHa, paper="arXiv:2108.06098")
def loha(run: Run, settings: LoHa) -> Adapter:
    """Train an update that is the entrywise product of two low-rank ones."""
    return run_on_modules(run, "loha", settings)


@method("lokr", settings=LoKr, paper="arXiv:2309.14859")
def lokr(run: Run, settings: LoKr) -> Adapter:
    """Train an update that is a Kronecker product."""
    return run_on_modules(run, "lokr", settings)


@method("hira", settings=HiRa, paper="https://openreview.net/forum?id=TwJrTz9cRS")
def hira(run: Run, settings: HiRa) -> Adapter:
    """Train a low-rank factor for each entry of a matrix, an update of high rank."""
    return run_on_modules(run, "hira", settings)


@method("delora", settings=DeLora, paper="arXiv:2503.18225")
def delora(run: Run, settings: DeLora) -> Adapter:
    """Train a low-rank update's directions apart from its length."""
    return run_on_modules(run, "delora", settings)


@method("miss", settings=Miss, paper="arXiv:2409.15371", example={"r": 8})
def miss(run: Run, settings: Miss) -> Adapter:
    """Train one small matrix that pieces of a matrix's input share."""
    return run_on_modules(run, "miss", settings)


@method("randlora", settings=RandLora, paper="arXiv:2502.00987")
def randlora(run: Run, settings: RandLora) -> Adapter:
    """Train the scales of frozen random bases, whose sum is an update of full rank."""
    return run_on_modules(run, "randlora", settings)


@method("gralora", settings=GraLora, paper="arXiv:2505.20355")
def gralora(run: Run, settings: GraLora) -> Adapter:
    """Train a low-rank update of each block of a matrix."""
    return run_on_modules(run, "gralora", settings)
