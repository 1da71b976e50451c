"""Holding single entries of parameters exactly still while the rest trains, and the proof of it.

Three facts decide how (transformers 5.23, torch 2.13):
- gradient clipping looks at gradients before any optimizer callback, so a held entry's gradient is
  zeroed where it has just been accumulated; by filling, since inf * 0 is NaN;
- a zero gradient does not hold an entry: weight decay and momentum still move it, so held values
  are put back after each optimizer step as well;
- a parameter that is held whole needs no gradient at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from onsa.masks import ParameterMask
from onsa.weights import Weights


class _HeldParameter:
    """One parameter with some entries held: flat indices and the values to put back."""

    def __init__(self, parameter: nn.Parameter, mask: Tensor) -> None:
        self.parameter = parameter
        self.index = mask.reshape(-1).nonzero().squeeze(1).to(parameter.device)
        self.values = parameter.detach().reshape(-1)[self.index].clone()
        self.hook = parameter.register_post_accumulate_grad_hook(self.zero_gradient)

    def zero_gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            parameter.grad.view(-1).index_fill_(0, self.index, 0.0)

    @torch.no_grad()
    def put_back(self) -> None:
        self.parameter.view(-1).index_copy_(0, self.index, self.values)


class Hold:
    """The held entries of a model in training; `put_back` belongs after every optimizer step."""

    def __init__(self, model: nn.Module, mask: ParameterMask) -> None:
        self.frozen: list[nn.Parameter] = []
        self.partly: list[_HeldParameter] = []
        unseen = set(mask.shapes)
        for name, parameter in model.named_parameters():
            unseen.discard(name)
            self._take(name, parameter, mask)
        assert not any(mask[name].any() for name in unseen), f"not in the model: {sorted(unseen)}"

    def _take(self, name: str, parameter: nn.Parameter, mask: ParameterMask) -> None:
        if name not in mask.shapes:
            return
        entries = mask[name]
        if entries.all():
            parameter.requires_grad_(False)
            self.frozen.append(parameter)
        elif entries.any():
            self.partly.append(_HeldParameter(parameter, entries))

    @property
    def partly_held(self) -> int:
        """Held entries of parameters that train otherwise."""
        return sum(held.index.numel() for held in self.partly)

    def put_back(self) -> None:
        for held in self.partly:
            held.put_back()

    def release(self) -> None:
        for held in self.partly:
            held.hook.remove()
        for parameter in self.frozen:
            parameter.requires_grad_(True)


@contextmanager
def held(model: nn.Module, mask: ParameterMask | None) -> Iterator[Hold | None]:
    """Hold the entries of `mask` in `model` for the length of a `with` block."""
    hold = Hold(model, mask) if mask is not None and mask.count else None
    try:
        yield hold
    finally:
        if hold is not None:
            hold.release()


def prove_held(before: Weights, after: Weights, mask: ParameterMask) -> dict[str, Any]:
    """Compare the held entries of two checkpoints bit for bit, one tensor at a time.

    Returns entries and tensors held, how many changed (0 is the promise), and the SHA-256 of the
    held values before and after, in float32.
    """
    digests = hashlib.sha256(), hashlib.sha256()
    entries = tensors = changed = 0
    for name in before.names:
        if name not in mask.shapes or not (here := mask[name]).any():
            continue
        old, new = (weights[name].float()[here].contiguous() for weights in (before, after))
        # Bits, not values: -0.0 equals 0.0 and NaN differs from itself as values.
        changed += int((old.view(torch.int32) != new.view(torch.int32)).sum())
        entries += old.numel()
        tensors += 1
        for digest, values in zip(digests, (old, new), strict=True):
            digest.update(name.encode() + b"\0" + values.numpy().tobytes())
    return {
        "entries": entries,
        "tensors": tensors,
        "changed": changed,
        "digest_before": digests[0].hexdigest(),
        "digest_after": digests[1].hexdigest(),
    }
