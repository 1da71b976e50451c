"""A causal language model that is asked in batches, for other words or for a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from onsa.data.rendering import end_tokens
from onsa.models.device import compute_dtype, device
from onsa.models.loading import load_model
from onsa.models.positions import positions_of
from onsa.weights import Weights


class ChatModel:
    """A model with its tokenizer, loaded when it is asked first and gone with this object."""

    def __init__(self, weights: Weights, tokenizer: Any) -> None:
        self.weights = weights
        self.tokenizer = tokenizer
        self.ends = sorted(end_tokens(tokenizer))

    @cached_property
    def model(self) -> Any:
        return load_model(self.weights, compute_dtype("auto")).to(device()).eval()

    @torch.inference_mode()
    def replies(self, rendered: Sequence[str], max_new_tokens: int, **how: Any) -> list[list[int]]:
        """The tokens that the model puts behind each conversation, as `generate` is told how."""
        inputs = self.tokenizer(
            list(rendered),
            add_special_tokens=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(self.model.device)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        made = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            **positions_of(self.model.config, ids, mask),
            num_beams=1,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.ends or None,
            pad_token_id=self.tokenizer.pad_token_id,
            **how,
        )
        replies: list[list[int]] = made[:, ids.shape[1] :].tolist()
        return replies
