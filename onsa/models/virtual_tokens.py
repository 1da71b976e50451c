"""Virtual tokens: what prefix tuning, P-tuning and prompt tuning put before a model's input.

Prefix tuning's are keys and values of every layer; those of the other two are embeddings, which go
through the model as the embeddings of a text would, and have logits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def embedded_tokens(model: Any) -> int:
    """The virtual tokens of a model of PEFT that stand before its input's embeddings."""
    config = _prompt_config(model)
    return config.num_virtual_tokens if config and not _is_prefix(config) else 0


def virtual_tokens(model: Any) -> int:
    """Those that stand before every text, embedded or not."""
    config = _prompt_config(model)
    return int(config.num_virtual_tokens) if config else 0


def needs_equal_lengths(model: Any, tokens: int) -> bool:
    """Whether padded prompts of so many tokens, replies with them, would be answered otherwise.

    PEFT puts a prefix before the padding. It then leaves a sliding window earlier than it should.
    """
    config = _prompt_config(model)
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    if not config or not _is_prefix(config) or window is None:
        return False
    return bool(tokens + config.num_virtual_tokens > window)


def generate(model: Any, inputs: dict[str, Tensor], **how: Any) -> Tensor:
    """The tokens that the model makes after left-padded prompts, as its `generate` does.

    PEFT's own would put embedded virtual tokens before the padding and count the padding as
    positions, so that a reply would depend on its neighbours in the batch.
    """
    if not embedded_tokens(model):
        made: Tensor = model.generate(**inputs, **how)
        return made[:, inputs["input_ids"].shape[1] :]
    # Of embeddings alone, transformers returns the new tokens alone.
    new: Tensor = model.get_base_model().generate(**_embedded(model, **inputs), **how)
    return new


def _embedded(model: Any, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
    """Embeddings of each row's padding, virtual tokens and prompt, in this order."""
    words = model.get_input_embeddings()(input_ids)
    virtual = model.get_prompt(batch_size=len(input_ids)).to(words.dtype)
    padding = (attention_mask == 0).sum(dim=1).tolist()
    rows = [
        torch.cat((row[:padded], before, row[padded:]))
        for row, before, padded in zip(words, virtual, padding, strict=True)
    ]
    mask = torch.nn.functional.pad(attention_mask, (0, virtual.shape[1]), value=1)
    return {"inputs_embeds": torch.stack(rows), "attention_mask": mask}


def _prompt_config(model: Any) -> Any:
    """PEFT's settings of the virtual tokens of a model; None where it has none."""
    config = getattr(model, "active_peft_config", None)
    return config if getattr(config, "is_prompt_learning", False) else None


def _is_prefix(config: Any) -> bool:
    return bool(config.peft_type == "PREFIX_TUNING")
