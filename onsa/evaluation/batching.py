"""Batches of prompts for a model: which rows go together, and how they are padded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from onsa.models.positions import positions_of


def batches_by_length(
    lengths: Sequence[int], size: int, alike: bool = False
) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, `alike` of the same; the longest first."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    for _, group in itertools.groupby(order, lambda row: lengths[row] if alike else 0):
        rows = list(group)
        for at in range(0, len(rows), size):
            yield rows[at : at + size]


def left_padded(prompts: list[list[int]], pad: int, model: Any) -> dict[str, torch.Tensor]:
    """What `generate` takes for prompts of several lengths."""
    width = max(map(len, prompts))
    ids = [[pad] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    inputs = {
        "input_ids": torch.tensor(ids, device=model.device),
        "attention_mask": torch.tensor(mask, device=model.device),
    }
    return {**inputs, **positions_of(model.config, *inputs.values())}
