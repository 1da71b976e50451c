"""What a head's numbers mean: their loss, targets drawn by them, and what they say in words."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from onsa.models.head import LIKED, OTHER, Head


def head_loss(head: Head, logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The loss of each row; `logits` (rows, outputs), of a ranking (2 × rows, 1): the replies
    liked, then those not liked.

    Cross-entropy, which alone can be smoothed; the mean binary one over several labels; the squared
    error in units of the spread; of a ranking the negative log-likelihood of Bradley and Terry.
    """
    if head.problem == "single_label_classification":
        return nn.functional.cross_entropy(
            logits, targets.long(), reduction="none", label_smoothing=label_smoothing
        )
    if head.problem == "multi_label_classification":
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, targets.float(), reduction="none"
        )
        return losses.mean(dim=1)
    if head.problem == "regression":
        return ((logits[:, 0] - targets.float()) / head.spread).square()
    liked, other = logits[:, 0].chunk(2)
    return -nn.functional.logsigmoid(liked - other)


def drawn_targets(head: Head, logits: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Targets drawn from what the head says, by the likelihood that its loss is of, and the logits
    that they belong to: of a ranking the two replies change places."""
    said = logits.detach()
    if head.problem == "single_label_classification":
        return torch.multinomial(said.softmax(dim=1), 1, generator=draw).squeeze(1), logits
    if head.problem == "multi_label_classification":
        return torch.bernoulli(said.sigmoid(), generator=draw), logits
    if head.problem == "regression":
        # exp(-x²) is a normal distribution with a variance of one half.
        noise = torch.randn(len(said), generator=draw, device=said.device) / math.sqrt(2)
        return said[:, 0] + head.spread * noise, logits
    liked, other = logits.chunk(2)
    stays = torch.bernoulli((liked - other).detach().sigmoid(), generator=draw).bool()
    turned = torch.cat([torch.where(stays, liked, other), torch.where(stays, other, liked)])
    return torch.ones(len(liked), device=said.device), turned


def say(head: Head, logits: Tensor) -> list[str]:
    """What the head says of each row, in words: a label, labels with commas, a number; of a
    ranking whether the reply liked is above the other one."""
    if head.problem == "single_label_classification":
        return [head.labels[number] for number in logits.argmax(dim=1).tolist()]
    if head.problem == "multi_label_classification":
        return [
            ", ".join(label for label, is_said in zip(head.labels, row, strict=True) if is_said)
            for row in (logits > 0).tolist()
        ]
    if head.problem == "regression":
        return [f"{number:.6g}" for number in logits[:, 0].tolist()]
    liked, other = logits[:, 0].chunk(2)
    return [LIKED if is_above else OTHER for is_above in (liked > other).tolist()]
