"""The fine-tuned angle: how far a training turned the weights (arXiv:2312.15681).

The angle between the flattened weights before and after. It is as small as 1e-4 rad, where arccos
of a cosine in float32 is off by more than that: here it comes from the chord between the two unit
vectors, 2·asin(chord / 2), and the chord from sums of differences, in float64.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from onsa.models.places import place_of
from onsa.weight_ops import in_order, pieces
from onsa.weights import Weights, require_same_tensors

if TYPE_CHECKING:
    from onsa.run import Step


class Sums(NamedTuple):
    """Over some entries u before and v after; sums of parts add up to those of the whole."""

    before: float = 0.0  # Σ u²
    after: float = 0.0  # Σ v²
    update: float = 0.0  # Σ (v - u)²
    growth: float = 0.0  # Σ (v - u)(v + u): |v|² - |u|², without its cancellation

    def plus(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def angle(self) -> float:
        """Radians between u and v; 0 where one of them is 0."""
        if not self.before or not self.after:
            return 0.0
        lengths = math.sqrt(self.before), math.sqrt(self.after)
        longer = self.growth / sum(lengths)
        chord = math.sqrt(max(0.0, self.update - longer**2) / (lengths[0] * lengths[1]))
        return 2 * math.asin(min(1.0, chord / 2))


def angle_sums(base: Weights, tuned: Weights) -> dict[str, Sums]:
    """The sums of every floating-point tensor, read piece by piece."""
    require_same_tensors(base, tuned)

    def of_piece(name: str, start: int, stop: int) -> tuple[str, Sums]:
        u, v = (weights.read(name, start, stop).double() for weights in (base, tuned))
        update = v - u
        products = (u @ u, v @ v, update @ update, update @ (v + u))
        return name, Sums(*map(float, products))

    sums: dict[str, Sums] = defaultdict(Sums)
    for name, part in in_order(of_piece, pieces(base.float_shapes)):
        sums[name] = sums[name].plus(part)
    return dict(sums)


def gather(sums: dict[str, Sums], key: Callable[[str], Any]) -> dict[Any, float]:
    """The angle of all tensors together that have the same `key`; those with None are left out."""
    gathered: dict[Any, Sums] = defaultdict(Sums)
    for name, part in sums.items():
        if (group := key(name)) is not None:
            gathered[group] = gathered[group].plus(part)
    return {group: whole.angle for group, whole in gathered.items()}


def measure_angles(step: Step, *, base: Weights, tuned: Weights) -> dict[str, Any]:
    """Angles in radians by tensor, by block, by role, and by role within each block (`layers`)."""
    sums = angle_sums(base, tuned)
    layers = gather(sums, lambda name: (place_of(name).block, place_of(name).role))
    return {
        "tensors": gather(sums, lambda name: name),
        "blocks": gather(sums, lambda name: place_of(name).block),
        "roles": gather(sums, lambda name: place_of(name).role),
        "layers": [
            {"block": block, "role": role, "angle": angle}
            for (block, role), angle in layers.items()
        ],
    }
