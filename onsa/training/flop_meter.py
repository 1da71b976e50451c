"""The floating-point operations of a training, counted in some of its steps.

Counted are those that the library's own table knows (matrix products, convolutions, attention),
where they are really carried out: a tensor that does not train saves its part of the backward pass.
A causal mask halves no attention here, and element-wise work is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

COUNTED_STEPS = 4  # the middles of as many parts: what trains may change on the way


def _attention(query: Any, key: Any, value: Any, *rest: Any, **how: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))


def _attention_backward(
    gradient: Any, query: Any, key: Any, value: Any, *rest: Any, **how: Any
) -> int:
    shapes = (each.shape for each in (gradient, query, key, value))
    return int(sdpa_backward_flop_count(*shapes))


FORMULAS: dict[Any, Any] = {
    **flop_registry,
    # The kernel of CPUs, which torch 2.13 has no formula for.
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class FlopMeter:
    """FLOPs of the counted steps, and the padded tokens that these saw."""

    def __init__(self, steps: int) -> None:
        count = min(COUNTED_STEPS, steps)
        self.counted_steps = {steps * (2 * number + 1) // (2 * count) for number in range(count)}
        self.flops = 0
        self.padded_tokens = 0

    @contextmanager
    def counting(self, step: int, padded_tokens: int) -> Iterator[None]:
        """Count what is done inside, if `step` is one of those."""
        if step not in self.counted_steps:
            yield
            return
        counter = Counter()
        with counter:
            yield
        self.flops += counter.flops
        self.padded_tokens += padded_tokens

    def of(self, padded_tokens: int) -> int:
        """The FLOPs of so many tokens, by those counted."""
        return round(self.flops / max(self.padded_tokens, 1) * padded_tokens)


class Counter(TorchDispatchMode):
    """Sums the FLOPs of every operation that is carried out inside a `with` block."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula: Any = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        return result
