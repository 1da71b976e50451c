"""The base under the names of the model's parameters, with the heads that tasks need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from onsa.models.carried import known_heads, take_over
from onsa.models.head import head_from_json
from onsa.models.heads import SINGLE_KEY, begin_at_the_mean, with_heads
from onsa.models.loading import load_checked, load_model, read_config
from onsa.models.saving import save_by_parameter
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Step


def import_base(step: Step, source: Weights, remote_code: bool) -> Weights:
    """The base under the names of the model's parameters, each tied one once.

    Some checkpoints name tensors otherwise (GPT-NeoX's `embed_out` is the parameter `lm_head`) or
    hold tied ones twice; all arithmetic and all holding goes by the parameters' names.
    """
    model = load_model(source, _stored_dtype(source), remote_code)
    model.config.__dict__.pop(SINGLE_KEY, None)  # a classifier's head is left behind
    save_by_parameter(model, step.folder / "base")
    step.note(renamed=sorted(set(source.names) - set(Weights(step.folder / "base").names))[:20])
    return Weights(step.folder / "base")


def import_with_heads(
    step: Step,
    *,
    source: Weights,
    heads: Mapping[str, dict[str, Any]],
    generative: bool,
    seed: int,
    remote_code: bool,
) -> Weights:
    """The base with heads, drawn by the seed, under the names of the model's parameters.

    A head that the base brings along for a task is the one that it goes on with. Other layers that
    the checkpoint lacks are drawn too where heads read them (BERT's pooler).
    """
    made = {task: head_from_json(each) for task, each in heads.items()}
    config = read_config(source.folder, remote_code)
    kept = known_heads(config, made, source).kept
    config = with_heads(config, made, generative, step.run.encoder.tokenizer.pad_token_id)
    torch.manual_seed(seed)
    model, _ = load_checked(source.folder, remote_code, config=config, dtype=torch.float32)
    begin_at_the_mean(model, made.keys() - set(kept))
    take_over(model, source, kept)
    save_by_parameter(model, step.folder / "base")
    return Weights(step.folder / "base")


def needs_import(source: Weights, remote_code: bool) -> bool:
    """Whether the checkpoint's tensors are not named as the model's parameters are."""
    from transformers import AutoModelForCausalLM

    config = read_config(source.folder, remote_code)
    with torch.device("meta"):  # heads have a step of their own
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=remote_code)
    # named_parameters gives a tied tensor once, under its first name; buffers come untied.
    persistent = {name for name, _ in model.named_parameters()}
    persistent |= {name for name, _ in model.named_buffers() if name in model.state_dict()}
    return set(source.names) != persistent


def _stored_dtype(weights: Weights) -> torch.dtype:
    floating = [dtype for dtype in weights.dtypes.values() if dtype.is_floating_point]
    return max(set(floating), key=floating.count) if floating else torch.float32
