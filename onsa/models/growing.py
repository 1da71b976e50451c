"""A finished model with what later tasks need beside it: more heads, or a language model's."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from onsa.models.head import Heads, head_from_json
from onsa.models.heads import (
    begin_at_the_mean,
    classifier_class,
    heads_of,
    is_generative,
    with_heads,
)
from onsa.models.loading import load_checked, read_config
from onsa.models.saving import save_by_parameter
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Step


@dataclasses.dataclass(frozen=True)
class Wanted:
    """All heads that a model shall have, and whether it shall say replies."""

    heads: Heads
    generative: bool

    @classmethod
    def beside(cls, source: Weights, heads: Heads, generative: bool, remote_code: bool) -> Wanted:
        """What `source` has with more heads, saying replies if it does or `generative` asks."""
        config = read_config(source.folder, remote_code)
        return cls({**heads_of(config), **heads}, is_generative(config) or generative)

    def is_had_by(self, source: Weights, remote_code: bool) -> bool:
        return self == Wanted.beside(source, {}, False, remote_code)


def grow(
    step: Step,
    *,
    source: Weights,
    origin: Weights,
    heads: Mapping[str, dict[str, Any]],
    generative: bool,
    seed: int,
    remote_code: bool,
) -> Weights:
    """The model `source`, which was made of `origin`, with all of `heads`.

    What it has stays bit for bit as it is. Heads that it lacks are drawn by the seed; where it is
    to say replies and did not, what says them is the origin's.
    """
    config = read_config(source.folder, remote_code)
    made = {task: head_from_json(each) for task, each in heads.items()}
    config = with_heads(config, made, generative, step.run.encoder.tokenizer.pad_token_id)
    brought = {*source.names, *(_inside(name, config) for name in source.names)}
    torch.manual_seed(seed)
    model, _ = load_checked(
        origin.folder, remote_code, config=config, brought=brought, dtype=torch.float32
    )
    begin_at_the_mean(model, made)
    _put_over(model, source)
    save_by_parameter(model, step.folder / "weights")
    grown = Weights(step.folder / "weights")
    for name, own in places(grown.names, source.names, config).items():
        assert torch.equal(grown[name], source[own].to(grown.dtypes[name])), f"{name} has changed"
    return grown


def places(grown: Collection[str], source: Iterable[str], config: Any) -> dict[str, str]:
    """The name of each tensor of a model in the one that was grown of it -> its own name.

    They differ where the backbone stood alone, and is inside of a language model now.
    """
    known = set(grown)
    found = {name if name in known else _inside(name, config): name for name in source}
    assert found.keys() <= known, f"no place for {sorted(found.keys() - known)}"
    return found


def _inside(name: str, config: Any) -> str:
    return f"{classifier_class(config).base_model_prefix}.{name}"


@torch.no_grad()
def _put_over(model: Any, source: Weights) -> None:
    tensors = model.state_dict()
    for name, own in places(tensors, source.names, model.config).items():
        tensors[name].copy_(source[own])
