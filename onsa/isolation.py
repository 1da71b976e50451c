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

    def __init__(self, name: str, parameter: nn.Parameter, mask: Tensor) -> None:
        self.name = name
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
            self.partly.append(_HeldParameter(name, parameter, entries))

    @property
    def partly_held(self) -> int:
        """Held entries of parameters that train otherwise."""
        return sum(held.index.numel() for held in self.partly)

    def put_back(self) -> None:
        for held in self.partly:
            held.put_back()

    def prove(self) -> dict[str, Any]:
        """As `prove_held`, for entries of parameters that no checkpoint has: an adapter's."""
        proof = _Proof()
        for held in self.partly:
            now = held.parameter.reshape(-1)[held.index]
            proof.add(held.name, held.values.float(), now.float())
        return proof.facts

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
    proof = _Proof()
    for name in before.names:
        if name in mask.shapes and (here := mask[name]).any():
            proof.add(name, *(weights[name].float()[here] for weights in (before, after)))
    return proof.facts


class _Proof:
    """Held values before and after, compared and digested tensor by tensor."""

    def __init__(self) -> None:
        self.entries = self.tensors = self.changed = 0
        self.before, self.after = hashlib.sha256(), hashlib.sha256()

    def add(self, name: str, old: Tensor, new: Tensor) -> None:
        old, new = old.detach().cpu().contiguous(), new.detach().cpu().contiguous()
        # Bits, not values: -0.0 equals 0.0 and NaN differs from itself as values.
        self.changed += int((old.view(torch.int32) != new.view(torch.int32)).sum())
        self.entries += old.numel()
        self.tensors += 1
        for digest, values in ((self.before, old), (self.after, new)):
            digest.update(name.encode() + b"\0" + values.numpy().tobytes())

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "entries": self.entries,
            "tensors": self.tensors,
            "changed": self.changed,
            "digest_before": self.before.hexdigest(),
            "digest_after": self.after.hexdigest(),
        }
