"""What a model says to tokens that are always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    pass

PROBE_ROWS, PROBE_TOKENS = 4, 32


@torch.inference_mode()
def probe_logits(model: Any) -> torch.Tensor:
    """Logits of random tokens, always the same ones: what a model says before and after a change
    that must not show. Of a backbone, which has no logits, its hidden states."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (PROBE_ROWS, PROBE_TOKENS), generator=draw)
    said = model(input_ids=ids.to(model.device), use_cache=False)
    logits: torch.Tensor = said.logits if hasattr(said, "logits") else said.last_hidden_state
    return logits.float()
