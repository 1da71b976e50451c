"""Where the positions of a text begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    pass

# RoBERTa's kin that generate: their padding token has a position of its own, the first token has
# the next one.
PADDING_HAS_A_POSITION = {
    "roberta", "roberta-prelayernorm", "camembert", "xlm-roberta", "xlm-roberta-xl", "xmod",
    "data2vec-text",
}  # fmt: skip


def first_position(config: Any) -> int:
    """The position of a text's first token: 0, but for RoBERTa and its kin."""
    if config.model_type not in PADDING_HAS_A_POSITION or config.pad_token_id is None:
        return 0
    return int(config.pad_token_id) + 1


def positions_of(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """The `position_ids` that RoBERTa and its kin give a batch by themselves, padded or not.

    Empty for other models. `generate` counts from 0 for all of them, which is not what such a
    model was trained with (transformers 5.23).
    """
    if not first_position(config):
        return {}
    counted = (mask.bool() & (ids != config.pad_token_id)).long()
    return {"position_ids": counted.cumsum(dim=1) * counted + config.pad_token_id}


def position_limit(config: Any) -> int | None:
    """The longest text that a model was made for, in tokens; None where it does not say."""
    config = config.get_text_config()
    count = getattr(config, "max_position_embeddings", None)  # GPT-2's n_positions too
    if not isinstance(count, int) or count <= 0:
        return None
    return count - first_position(config)
