"""The diagonal of the Fisher information, example by example.

F_i = mean over examples of (∂ log p(y|x) / ∂θ_i)²: the gradient of each example is squared by
itself. The square of a batch's mean gradient is another quantity, and near 0 after training.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from onsa.data.collation import head_batch
from onsa.data.encoded import Encoded
from onsa.data.encoding import Encoder
from onsa.losses import reply_logits
from onsa.models.device import device
from onsa.models.head_outputs import drawn_targets, head_loss
from onsa.models.heads import head_logits, head_of
from onsa.models.loading import load_model
from onsa.weights import Weights, write_weights

if TYPE_CHECKING:
    from onsa.run import Step
    from onsa.tasks import Task

Labels = Literal["empirical", "true"]


def measure_fisher(
    step: Step,
    *,
    weights: Weights,
    tasks: Sequence[Task],
    encoder: Encoder,
    names: Sequence[str],
    labels: Labels,
    seed: int,
) -> Weights:
    """The Fisher information of the tensors `names` over the training rows of `tasks`, pooled.

    Float32, under the tensors' own names: as much memory as they take, beside the model.
    """
    model = load_model(weights).to(device())
    rows = [(task.name, encoder.encode(row)) for task in tasks for row in task.train]
    # In an order of its own: what is stopped early, or watched, has seen every task.
    random.Random(seed).shuffle(rows)
    with step.progress.track(step.name, len(rows), "examples") as advance:
        found = fisher_diagonal(model, rows, names, labels, seed, advance)
    step.note(examples=len(rows), fisher_labels=labels)
    layout = {name: (each.dtype, tuple(each.shape)) for name, each in found.items()}
    return write_weights(step.folder / "fisher", layout, found.__getitem__)


def fisher_diagonal(
    model: Any,
    rows: Iterable[tuple[str, Encoded]],
    names: Collection[str],
    labels: Labels = "empirical",
    seed: int = 0,
    advance: Any = lambda n: None,
) -> dict[str, Tensor]:
    """F of the parameters `names`, each in its shape, float32; without dropout.

    `rows` come with their tasks. `empirical`: y are the rows' own reply tokens, or what a head is
    to say of them. `true`: drawn from the model, a reply token given the row's own before it.
    """
    model.eval()
    wanted = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
        if name in names:
            wanted[name] = parameter
    sums = {name: torch.zeros_like(each, dtype=torch.float32) for name, each in wanted.items()}
    draw = torch.Generator(device=model.device).manual_seed(seed)
    count = 0
    for task, row in rows:
        if row.target is None:
            likelihood = log_likelihood(model, row, labels, draw)
        else:
            likelihood = head_log_likelihood(model, task, row, labels, draw)
        gradients = torch.autograd.grad(likelihood, list(wanted.values()))
        for name, gradient in zip(wanted, gradients, strict=True):
            sums[name] += gradient.float().square_()
        count += 1
        advance(1)
    return {name: (total / max(count, 1)).cpu() for name, total in sums.items()}


def log_likelihood(model: Any, row: Encoded, labels: Labels, draw: torch.Generator) -> Tensor:
    """log p of an example's reply tokens, summed; of tokens drawn in their places for `true`."""
    inputs = {
        "input_ids": torch.tensor([row.ids], device=model.device),
        "labels": torch.tensor([row.labels], device=model.device),
        "task": torch.zeros(1, device=model.device),
    }
    logits, tokens, _ = reply_logits(model, inputs)
    chances = logits.log_softmax(dim=-1)
    if labels == "true":
        tokens = torch.multinomial(chances.detach().exp(), 1, generator=draw).squeeze(1)
    return chances.gather(1, tokens[:, None]).sum()


def head_log_likelihood(
    model: Any, task: str, row: Encoded, labels: Labels, draw: torch.Generator
) -> Tensor:
    """log p, but for a constant, of what the head of `task` is to say of an example."""
    pad = model.config.get_text_config().pad_token_id
    batch = head_batch([row], task, 0 if pad is None else pad)
    inputs = {k: v.to(model.device) for k, v in batch.items() if torch.is_tensor(v)}
    targets = inputs.pop("labels")
    head, logits = head_of(model, task), head_logits(model, task, inputs)
    if labels == "true":
        targets, logits = drawn_targets(head, logits, draw)
    return -head_loss(head, logits, targets).sum()
