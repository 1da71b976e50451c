"""What a training step costs, tensor by tensor, and the best choice of tensors for a budget.

Huang et al. 2024, Towards Green AI in Fine-tuning Large Language Models via Adaptive
Backpropagation, ICLR 2024, arXiv:2309.13192. Costs are multiply-adds, twice as many FLOPs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onsa.choosing.choices import tied_head
from onsa.models.places import place_of
from onsa.tensor_file import Shape

UNITS = 1000  # that a budget is divided into

# The order of a block's parts in the forward pass; the first that fits decides.
WITHIN_BLOCK = (
    (0, re.compile(r"\.(input_layernorm|ln_1|self_attn_layer_norm|attention_norm)\.")),
    (2, re.compile(r"\.(q_norm|k_norm)\.")),
    (7, re.compile(r"\.post_feedforward_layernorm\.|\d\.output\.LayerNorm\.")),
    (4, re.compile(r"attn.*\.(o_proj|c_proj|out_proj)\.|attention\.(output\.)?(dense|wo)\.")),
    (6, re.compile(r"(down_proj|mlp\.c_proj|dense_4h_to_h|fc2|\.w2|\d\.output\.dense)\.")),
)
BY_ROLE = {"attention": 1, "norm": 4.5, "mlp": 5}
ATTENTION_MAP = 3
OUTSIDE = {"embedding": 0, "head": 3}  # what else is outside the blocks comes between them
HEAD_MATRIX = 2  # above the other parts that BERT's head has


class Work(NamedTuple):
    """The size of a batch: rows, tokens of a row with padding, positions with logits in all."""

    rows: int
    length: int
    head_positions: int

    @property
    def tokens(self) -> int:
        return self.rows * self.length


class Cost(NamedTuple):
    """Multiply-adds of one tensor in a step; `name` is empty for what is no parameter."""

    name: str
    forward: int
    t_dy: int  # to hand the gradient of activations on, past this tensor
    t_dw: int  # for the gradient of the tensor itself


def step_costs(shapes: Mapping[str, Shape], config: Any, work: Work) -> list[Cost]:
    """The cost of every parameter and attention map, from the output to the input.

    A matrix costs the same three times, an embedding and a bias only where they are trained, an
    attention map what is quadratic in the length. What runs side by side (query, key and value; the
    parallel halves of GPT-NeoX) counts as a chain, which it can only make dearer. Activations,
    softmax and optimizer are left out.
    """
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    head = tied_head(shapes)
    costs: list[tuple[tuple[float, ...], Cost]] = []
    for name, shape in shapes.items():
        costs.append((_depth(name), _cost_of(name, shape, work, name == head)))
    for block in {place_of(name).block for name in shapes}:
        if block.isdigit():
            once = work.rows * work.length**2 * width
            costs.append(((1, int(block), ATTENTION_MAP), Cost("", 2 * once, 4 * once, 0)))
    if head is not None:
        once = work.head_positions * math.prod(shapes[head])
        costs.append(((OUTSIDE["head"], HEAD_MATRIX, 0), Cost("", once, once, 0)))
    costs.sort(key=lambda entry: (entry[0], entry[1].name), reverse=True)
    return [cost for _, cost in costs]


def _depth(name: str) -> tuple[float, ...]:
    """Where a tensor comes in the forward pass: smaller is earlier."""
    place = place_of(name)
    if place.block.isdigit():
        rank = next((rank for rank, fits in WITHIN_BLOCK if fits.search(name)), None)
        return 1, int(place.block), BY_ROLE.get(place.role, 5) if rank is None else rank
    return OUTSIDE.get(place.block, 2), int(place.role == "norm"), 0


def _cost_of(name: str, shape: Shape, work: Work, is_head: bool) -> Cost:
    size, place = math.prod(shape), place_of(name)
    if place.role == "embedding":
        # The gradient of a tied one is that of the head as well, and it waits for the lookup's.
        head = work.head_positions * size if is_head else 0
        return Cost(name, 0, 0, work.tokens * shape[-1] + head)
    each = size * (work.head_positions if place.block == "head" else work.tokens)
    return Cost(name, each, 0 if name.endswith("bias") else each, each)


def forward_cost(costs: Sequence[Cost]) -> int:
    return sum(cost.forward for cost in costs)


def backward_cost(costs: Sequence[Cost], chosen: Sequence[bool] | None = None) -> int:
    """Σ cummax(m)·t_dy + m·t_dw, output to input: gradients travel down to the lowest chosen
    tensor. Of all tensors where none are given."""
    chosen = [True] * len(costs) if chosen is None else chosen
    lowest = max((at for at, taken in enumerate(chosen) if taken), default=-1)
    down = sum(cost.t_dy for cost in costs[: lowest + 1])
    return down + sum(cost.t_dw for cost, taken in zip(costs, chosen, strict=True) if taken)


def best_choice(costs: Sequence[Cost], importance: Sequence[float], budget: float) -> list[bool]:
    """The tensors with the largest summed importance whose backward pass costs at most `budget`.

    A dynamic programme over depth and the budget in 1,000 units. Costs are rounded down to units
    and the units lowered until the exact cost fits as well, so that of n tensors nothing better
    fits into a budget smaller by (n + 1) / 1,000. Nothing is chosen where nothing fits.
    """
    if budget <= 0:
        return [False] * len(costs)
    scale = UNITS / budget
    own = [int(cost.t_dw * scale) for cost in costs]
    down = [int(total * scale) for total in np.cumsum([cost.t_dy for cost in costs])]
    best, taken = _knapsacks(own, importance)
    for units in range(UNITS, -1, -1):
        lowest = _best_lowest(best, own, down, importance, units)
        if lowest is None:
            break
        chosen = _trace(taken, own, lowest, units - down[lowest] - own[lowest])
        if backward_cost(costs, chosen) <= budget:
            return chosen
    return [False] * len(costs)


def _knapsacks(
    own: Sequence[int], importance: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`best[k, b]`: the most importance of the first k tensors within b units; `taken[k, b]`: the
    k-th is part of that."""
    best = np.zeros((len(own) + 1, UNITS + 1))
    taken = np.zeros((len(own), UNITS + 1), dtype=bool)
    for k, (units, worth) in enumerate(zip(own, importance, strict=True)):
        best[k + 1] = best[k]
        if worth > 0 and units <= UNITS:
            joined = best[k, : UNITS + 1 - units] + worth
            taken[k, units:] = joined > best[k, units:]
            best[k + 1, units:] = np.maximum(best[k, units:], joined)
    return best, taken


def _best_lowest(
    best: NDArray[np.float64],
    own: Sequence[int],
    down: Sequence[int],
    importance: Sequence[float],
    units: int,
) -> int | None:
    """The lowest chosen tensor of the best choice within `units`."""
    worth = {
        k: importance[k] + float(best[k, units - down[k] - own[k]])
        for k in range(len(own))
        if importance[k] > 0 and down[k] + own[k] <= units
    }
    return max(worth, key=lambda k: worth[k], default=None)


def _trace(taken: NDArray[np.bool_], own: Sequence[int], lowest: int, units: int) -> list[bool]:
    chosen = [False] * len(own)
    chosen[lowest] = True
    for k in range(lowest - 1, -1, -1):
        if taken[k, units]:
            chosen[k] = True
            units -= own[k]
    return chosen
