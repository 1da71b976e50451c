"""Packing: several examples fill one sequence, and none of them sees another.

Positions begin anew with each example, and there is no attention mask: by such positions
transformers (5.23, `masking_utils`) keeps the examples apart in full and in sliding attention
alike. Whether the model at hand really does is tried on the model itself before it is trained:
nothing that an architecture, an adapter or an attention implementation does is taken on trust.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from onsa.data.batches import sequences_of
from onsa.data.encoded import UNTRAINED, Encoded
from onsa.errors import InputError
from onsa.models.positions import first_position
from onsa.models.quantization import quantization_of
from onsa.recipe.training import Training

PROBE_LENGTHS = (17, 23)  # tokens of a neighbour, and of the example that must not see it
# Shares of the largest logit. A neighbour that is masked adds exact zeros; next to another one the
# sums of an example are only as exact as the arithmetic.
MOST_SEEN, MOST_ROUNDED, MOST_ROUNDED_IN_FOUR_BITS = 1e-5, 1e-3, 5e-2


Collate = Callable[[list[tuple[int, Encoded]]], dict[str, Any]]
"""Makes tensors of a batch's rows, each with the number of its task."""


def pack_length(training: Training) -> int | None:
    """The tokens that a sequence is filled up to; None where nothing is packed."""
    return training.max_length if training.packing else None


class PackingCollator:
    """The sequences of a batch, padded on the right: input_ids, position_ids; labels and task (its
    number) of each token. Rows for a head are batched as without packing, by `plain`."""

    def __init__(self, plain: Collate, pad_id: int, pack_to: int, first: int) -> None:
        self.plain = plain
        self.pad_id = pad_id
        self.pack_to = pack_to
        self.first = first

    def __call__(self, rows: list[tuple[int, Encoded]]) -> dict[str, Any]:
        if rows[0][1].target is not None:
            return self.plain(rows)
        lengths = [len(row.ids) for _, row in rows]
        shapes = sequences_of(lengths, self.pack_to)
        width = max(map(sum, shapes))
        # What pads is like one more example, which nothing is trained on.
        batch = {
            "input_ids": torch.full((len(shapes), width), self.pad_id),
            "position_ids": torch.arange(width).repeat(len(shapes), 1),
            "labels": torch.full((len(shapes), width), UNTRAINED),
            "task": torch.zeros((len(shapes), width), dtype=torch.long),
        }
        left = iter(rows)
        for number, sequence in enumerate(shapes):
            start = 0
            for length in sequence:
                task, row = next(left)
                _put(batch, number, slice(start, start + length), task, row)
                start += length
            batch["position_ids"][number, start:] -= start
        batch["position_ids"] += self.first
        return batch


def _put(batch: dict[str, Tensor], number: int, place: slice, task: int, row: Encoded) -> None:
    batch["input_ids"][number, place] = torch.tensor(row.ids)
    batch["position_ids"][number, place] -= place.start
    labels = torch.tensor(row.labels)
    labels[0] = UNTRAINED  # what stands before it is another example
    batch["labels"][number, place] = labels
    batch["task"][number, place] = task


def require_apart(model: Any) -> None:
    """Refuse to pack for a model in which an example sees its neighbour.

    Raises:
        InputError: what an example says depends on the one before it.
    """
    seen, rounded = measure_neighbours(model)
    most = MOST_ROUNDED_IN_FOUR_BITS if quantization_of(model) else MOST_ROUNDED
    if seen <= MOST_SEEN and rounded <= most:
        return
    raise InputError(
        f"this {model.config.model_type} does not keep packed examples apart (logits change by "
        f"{max(seen, rounded):.1e} of the largest)",
        where="packing",
        way_out="take the key out",
    )


@torch.no_grad()
def measure_neighbours(model: Any) -> tuple[float, float]:
    """How much an example's logits change, as a share of the largest: with another neighbour in
    its sequence, and without one."""
    draw = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    before, example = PROBE_LENGTHS
    ids = torch.randint(vocabulary, (2, before + example), generator=draw)
    ids[1, before:] = ids[0, before:]
    positions = torch.cat([torch.arange(before), torch.arange(example)]) + first_position(
        model.config
    )
    training = model.training
    model.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's, of positions that it has no use for
            one, other = (_logits(model, row.repeat(2, 1), positions, example) for row in ids)
            alone = _logits(model, ids[:1, before:], positions[before:], example)
    finally:
        model.train(training)
    largest = alone.abs().max()
    return float((one - other).abs().max() / largest), float((one - alone).abs().max() / largest)


def _logits(model: Any, ids: Tensor, positions: Tensor, last: int) -> Tensor:
    place = model.device
    positions = positions.repeat(len(ids), 1)
    found = model(input_ids=ids.to(place), position_ids=positions.to(place), use_cache=False)
    logits: Tensor = found.logits[:, -last:]
    return logits.float()
