"""Rows as the tensors of a batch, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onsa.data.encoded import Encoded


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """The rows below each other, (rows, longest)."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


def head_batch(rows: Sequence[Encoded], task: str, pad_id: int) -> dict[str, Any]:
    """A batch of one task's rows for its head: `labels` are what the head is to say, `head` names
    the task. Of a ranking all replies liked come first, then all others."""
    ids: list[Sequence[int]] = [row.ids for row in rows]
    ids += [row.other_ids for row in rows if row.other_ids is not None]
    batch: dict[str, Any] = {
        "input_ids": padded(ids, pad_id),
        "attention_mask": padded([[1] * len(each) for each in ids], 0),
        "labels": torch.tensor([row.target for row in rows]),
        "head": task,
    }
    if any(row.type_ids for row in rows):
        types = [row.type_ids or [0] * len(row.ids) for row in rows]
        batch["token_type_ids"] = padded(types, 0)
    return batch
