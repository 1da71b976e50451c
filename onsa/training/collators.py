"""Tensors of the rows of a batch, with their weights where these differ."""

from __future__ import annotations

from typing import Any

import torch

from onsa.data.batches import Plan
from onsa.data.collation import head_batch, padded
from onsa.data.encoded import UNTRAINED, Encoded
from onsa.errors import InputError
from onsa.models.positions import first_position
from onsa.recipe.training import Training
from onsa.training.packing import Collate, PackingCollator, pack_length


def collator(
    plan: Plan, corpus: dict[str, list[Encoded]], training: Training, pad_id: int, config: Any
) -> Collate:
    """What makes tensors of a batch's rows, with their weights where these differ."""
    pack_to = pack_length(training)
    plain: Collate = PlainCollator(pad_id, list(corpus))
    if pack_to is not None:
        plain = PackingCollator(plain, pad_id, pack_to, first_position(config))
    weighted = WeightedCollator(plain, plan, corpus)
    return weighted if weighted.differs else plain


def weights_of_losses(batch: dict[str, Any]) -> torch.Tensor:
    """The weight of each of the losses of a batch."""
    weights: torch.Tensor = batch["weights"]
    if "head" in batch:
        return weights
    return weights[:, 1:][batch["labels"][:, 1:] != UNTRAINED]


class WeightedCollator:
    """A batch with the weight of each token's row, in shares of the mean of the whole training.

    By the mean of each batch instead, a row's weight would mean nothing in a batch of its own.
    """

    def __init__(self, plain: Collate, plan: Plan, corpus: dict[str, list[Encoded]]) -> None:
        self.plain = plain
        rows = [corpus[task][row] for batch in plan for task, row in batch]
        self.differs = len({row.weight for row in rows}) > 1
        tokens = sum(row.trained_tokens for row in rows)
        self.mean = sum(row.weight * row.trained_tokens for row in rows) / max(tokens, 1)
        if any(row.weight < 0 for row in rows) or self.mean == 0:
            raise InputError(
                "the weights of rows must be 0 or more, and some of them more than 0",
                way_out="mend the data's weights",
            )

    def __call__(self, rows: list[tuple[int, Encoded]]) -> dict[str, Any]:
        batch = self.plain(rows)
        # By the collator itself, so that each weight lies where its row's tokens do.
        weights = torch.tensor([row.weight / self.mean for _, row in rows])
        if "position_ids" in batch:
            numbered = [(number, row) for number, (_, row) in enumerate(rows)]
            weights = weights[self.plain(numbered)["task"]]
        elif "head" not in batch:
            weights = weights[:, None].expand_as(batch["labels"])
        return {**batch, "weights": weights}


class PlainCollator:
    """Right-padded tensors of a batch: input_ids, attention_mask, labels, task (its number); of
    rows for a head see `head_batch`."""

    def __init__(self, pad_id: int, tasks: list[str]) -> None:
        self.pad_id = pad_id
        self.tasks = tasks

    def __call__(self, rows: list[tuple[int, Encoded]]) -> dict[str, Any]:
        owners = torch.tensor([task for task, _ in rows])
        encoded = [row for _, row in rows]
        if encoded[0].target is not None:
            return {**head_batch(encoded, self.tasks[rows[0][0]], self.pad_id), "task": owners}
        return {
            "input_ids": padded([row.ids for row in encoded], self.pad_id),
            "attention_mask": padded([[1] * len(row.ids) for row in encoded], 0),
            "labels": padded([row.labels for row in encoded], UNTRAINED),
            "task": owners,
        }
