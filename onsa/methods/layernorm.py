"""Only the norms: all of them, those of the blocks' outputs, or the share that Fisher picks.

ValizadehAslani & Liang 2024, LayerNorm: A Key Component in Parameter-Efficient Fine-Tuning,
arXiv:2403.20284. Its BERT has its norms after each part, today's models before it: what `output`
means in them is said at `output_norms`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from onsa.choosing.choices import block_count, choose
from onsa.choosing.fisher import Labels, measure_fisher
from onsa.data.split import sample_rows
from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.methods import method
from onsa.models.places import place_of
from onsa.run import Run
from onsa.settings import Budgeted, Share
from onsa.training.train import train_mixed
from onsa.weight_ops import Shapes, count_of_share, top_count
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.tasks import Task


AFTER_FEED_FORWARD = re.compile(
    r"\.(post_feedforward_layernorm|post_mlp_layernorm)\.|\d\.output\.LayerNorm\."
)
BLOCK_INPUT = re.compile(r"\.(input_layernorm|ln_1|self_attn_layer_norm|attention_norm|norm_1)\.")
FISHER_KEYS = ("share", "level", "labels", "fisher_rows")


class LayerNorm(Budgeted):
    norms: Literal["all", "output", "fisher"] = Field(
        "all", description="all, those on the blocks' outputs, or the share that matters most"
    )
    share: Share = Field(0.25, description="of the norms' entries, chosen by Fisher information")
    level: Literal["tensor", "entry"] = Field("tensor", description="what Fisher chooses")
    labels: Labels = Field(
        "empirical", description="Fisher information of the rows' replies, or of drawn tokens"
    )
    fisher_rows: int = Field(256, ge=1, description="rows of each task that Fisher is measured on")

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> LayerNorm:
        for key in FISHER_KEYS:
            if self.differs(key) and self.norms != "fisher":
                raise InputError(
                    f"{key} has no effect with norms {self.norms!r}",
                    way_out=f"take it out, or write 'norms: fisher' to use {key}",
                )
        return self


@method("layernorm", settings=LayerNorm, paper="arXiv:2403.20284")
def layernorm(run: Run, settings: LayerNorm) -> Weights:
    """Train only the norms, or the part of them that Fisher information chooses."""
    hold, rule = ~_chosen(run, settings), "all but the chosen norms"
    return train_mixed(
        run, "layernorm", "norms", settings.trained_tokens, hold=hold, hold_rule=rule
    )


def _chosen(run: Run, settings: LayerNorm) -> ParameterMask:
    shapes = run.base.float_shapes
    if settings.norms == "output":
        return ParameterMask.of_names(shapes, output_norms(shapes))
    every = choose(shapes, parts=["norm"])
    if settings.norms == "all":
        return every
    fisher = run.step(
        "fisher",
        measure_fisher,
        weights=run.base,
        tasks=[_few_rows(task, settings.fisher_rows, run.recipe.seed) for task in run.tasks],
        encoder=run.encoder,
        names=[name for name, count in every.count_by_name().items() if count],
        labels=settings.labels,
        seed=run.recipe.seed,
    )
    by = largest_tensors if settings.level == "tensor" else largest_entries
    return by(shapes, fisher, settings.share)


def _few_rows(task: Task, rows: int, seed: int) -> Task:
    few = sample_rows(task, min(1.0, rows / len(task.train)), seed)
    return dataclasses.replace(few, evaluation=())  # which no Fisher information depends on


def output_norms(names: Iterable[str]) -> set[str]:
    """The norms on the blocks' outputs.

    Where a block ends in a norm (BERT, as in the paper; Gemma 2 and 3, OLMo 2), that one. Elsewhere
    (Llama, GPT-2, GPT-NeoX) the norm that reads the block's output: the next block's first one, and
    for the last block the model's last norm. The first block's first norm reads the embedding and
    is none.

    Raises:
        InputError: no such norm by any name known here.
    """
    norms = [name for name in names if place_of(name).role == "norm"]
    ending = {name for name in norms if AFTER_FEED_FORWARD.search(name)}
    if ending:
        return ending
    reading = {name for name in norms if BLOCK_INPUT.search(name) and place_of(name).block != "0"}
    last = {name for name in norms if place_of(name).block == "norm"}
    if not last or (not reading and block_count(norms) > 1):
        raise InputError(
            "which norms are on the blocks' outputs cannot be told from their names",
            way_out="write 'norms: all', or name them with the method partial's patterns",
        )
    return reading | last


def largest_tensors(shapes: Shapes, fisher: Weights, share: float) -> ParameterMask:
    """Whole tensors with the largest mean Fisher information, as many as fit in the share of all
    entries measured; at least one."""
    mean = {name: float(fisher[name].double().mean()) for name in fisher.names}
    left = count_of_share(share, fisher.entry_count)
    taken: list[str] = []
    for name in sorted(mean, key=lambda name: (-mean[name], name)):
        size = math.prod(shapes[name])
        if taken and size > left:
            break
        taken.append(name)
        left -= size
    return ParameterMask.of_names(shapes, taken)


def largest_entries(shapes: Shapes, fisher: Weights, share: float) -> ParameterMask:
    """The single entries with the largest Fisher information; at least one."""
    count = max(1, count_of_share(share, fisher.entry_count))
    among = top_count(fisher.float_shapes, fisher.read, count)
    return ParameterMask.of_bits(shapes, {name: among.bits(name) for name in fisher.names})
