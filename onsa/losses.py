"""The loss of what is trained, reply tokens or heads, for training and for scoring alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onsa.data.encoded import UNTRAINED
from onsa.models.head_outputs import head_loss
from onsa.models.heads import head_logits, head_of
from onsa.models.virtual_tokens import embedded_tokens


def token_losses(
    model: Any, inputs: dict[str, Any], label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The loss of every trained token of a batch, and the number of the task it belongs to.

    `label_smoothing` is the share of each target that is spread evenly over the vocabulary
    (Szegedy et al. 2016, arXiv:1512.00567), or over the labels.

    Of a batch for a head (`head_batch`): the loss of every row.
    """
    if "head" in inputs:
        return row_losses(model, inputs, label_smoothing)
    logits, targets, owners = reply_logits(model, inputs)
    losses = torch.nn.functional.cross_entropy(
        logits, targets, reduction="none", label_smoothing=label_smoothing
    )
    return losses, owners


def trained_count(batch: dict[str, Any]) -> int:
    """The trained tokens of a batch; a row for a head counts as one."""
    if "head" in batch:
        return len(batch["labels"])
    return int((batch["labels"][:, 1:] != UNTRAINED).sum())


def row_losses(
    model: Any, inputs: dict[str, Any], label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The loss of every row of a batch for a head, and the number of the task it belongs to."""
    inputs = dict(inputs)
    inputs.pop("weights", None)
    task, targets, owners = (inputs.pop(key) for key in ("head", "labels", "task"))
    head, logits = head_of(model, task), head_logits(model, task, inputs)
    return head_loss(head, logits, targets, label_smoothing), owners


def reply_logits(model: Any, inputs: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """For every trained token of a batch: the float32 logits before it (tokens x vocabulary), the
    token itself, and the number of the task it belongs to. `task` in `inputs` holds that for each
    row, or for each token.

    Logits are computed only at positions that predict a trained token in some row: with long
    prompts and short replies the vocabulary's matrix is the larger part of a small model's work.
    """
    inputs = dict(inputs)
    labels, owners = inputs.pop("labels"), inputs.pop("task")
    inputs.pop("weights", None)
    targets = labels[:, 1:]
    columns = (targets != UNTRAINED).any(dim=0).nonzero().squeeze(1)
    places = columns + embedded_tokens(model)
    logits = model(**inputs, logits_to_keep=places, use_cache=False).logits
    targets = targets[:, columns]
    if logits.shape[1] != targets.shape[1]:  # the architecture ignores logits_to_keep
        logits = logits[:, places]
    trained = targets != UNTRAINED
    owners = owners[:, 1:][:, columns] if owners.dim() == 2 else owners[:, None].expand_as(targets)
    return logits[trained].float(), targets[trained], owners[trained]
