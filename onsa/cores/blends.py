"""How several tuned models become one where no core decides: blends, chosen by name.

A blend is worked out piece by piece from the base model and the updates of the tuned models: a
few pieces are in memory, never a model.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onsa.cores.rules import Rules
from onsa.errors import InputError, did_you_mean
from onsa.masks import Bits, ParameterMask, byte_count, unpack
from onsa.models.head_names import shared
from onsa.tensor_file import scratch
from onsa.weight_ops import in_order, noise, pieces, require_share, top_share
from onsa.weights import Weights

Floats = NDArray[np.float64]


class Piece(NamedTuple):
    """The same entries of all models; good until this thread's next piece.

    `values` are wider than what will be written (float32 for bfloat16, float64 for float32), so
    that no sum is off by a bit of the result, and what has not moved stays as it is.
    """

    name: str
    start: int
    stop: int
    values: Tensor  # (1 + tasks, entries): the base model's, then the tuned models'

    @property
    def base(self) -> Tensor:
        return self.values[0]

    @property
    def tuned(self) -> Tensor:
        return self.values[1:]

    @property
    def updates(self) -> Tensor:
        return self.tuned - self.base

    def cut(self, bits: Bits) -> Bits:
        """The part of a tensor's packed bits that belongs to this piece."""
        return bits[self.start // 8 : byte_count(self.stop)]


@dataclass(frozen=True)
class Models:
    """A base model and the models tuned from it."""

    base: Weights
    tuned: tuple[Weights, ...]

    def dtype(self, name: str) -> torch.dtype:
        """The widest of the tuned models' dtypes: nothing they learned is rounded away."""
        return reduce(torch.promote_types, (weights.dtypes[name] for weights in self.tuned))

    def piece(self, name: str, start: int, stop: int) -> Piece:
        dtype = torch.float32 if self.dtype(name).itemsize == 2 else torch.float64
        models = (self.base, *self.tuned)
        values = scratch("piece", len(models) * (stop - start), dtype).view(len(models), -1)
        for weights, row in zip(models, values, strict=True):
            weights.read(name, start, stop, out=row)
        return Piece(name, start, stop, values)

    def gram(self, name: str) -> Floats:
        """Inner products of base and updates, (1 + tasks, 1 + tasks).

        Of half-precision models float32 within a piece and float64 from piece to piece: enough,
        because the small updates are multiplied and not the models, in which they would drown.
        """

        def gram_of_piece(*place: Any) -> Floats:
            piece = self.piece(*place)
            piece.tuned.sub_(piece.base)
            return (piece.values @ piece.values.T).numpy().astype(np.float64)

        total = np.zeros((1 + len(self.tuned), 1 + len(self.tuned)))
        for part in in_order(gram_of_piece, pieces({name: self.base.shapes[name]})):
            total += part
        return total


Values = Callable[[Piece], Tensor]
"""The blended values of a piece, in the dtype of its values and memory of their own."""

Blend = Callable[[str], tuple[Values, dict[str, Any]]]
"""A tensor's name -> how its pieces are blended, and what the record says of it."""

blends: Rules[Callable[..., Blend]] = Rules("blend")


def prepare(models: Models, rule: str, settings: Mapping[str, float]) -> Blend:
    """The blend `rule` for these models, with its own settings."""
    require_known_settings(rule, settings)
    return blends[rule](models, **settings)


def require_known_settings(rule: str, keys: Iterable[str]) -> None:
    """Raise InputError for a key that is no setting of the blend `rule`."""
    known = list(inspect.signature(blends[rule]).parameters)[1:]
    for key in keys:
        if key not in known:
            raise InputError(
                f"the blend {rule!r} has no setting {key!r}", way_out=did_you_mean(key, known)
            )


def seeded(rule: str, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The settings of the blend `rule`, with the seed where it draws by chance."""
    drawn = "seed" in inspect.signature(blends[rule]).parameters
    return {**settings, "seed": seed} if drawn else dict(settings)


@blends
def slerp(models: Models, *, epsilon: float = 1e-4) -> Blend:
    """Spherical, folded task by task so that all weigh the same (arXiv:2508.21741).

    The angle is that of the flattened tensors; below `epsilon` radians, a straight line. The
    record's `order_effect` is how far a fold in the opposite order would differ, relative to the
    tensor's length.
    """
    if not 0 < epsilon < math.pi / 2:
        raise InputError(f"epsilon is {epsilon}", way_out="give an angle in radians, such as 1e-4")

    def blend(name: str) -> tuple[Values, dict[str, Any]]:
        gram = models.gram(name)
        folded = fold(gram, epsilon)
        turned = [0, *range(len(models.tuned), 0, -1)]
        other_order = fold(gram[np.ix_(turned, turned)], epsilon).weights[turned]
        length = _length(_over_updates(folded.weights), gram)
        difference = _length(_over_updates(folded.weights - other_order), gram)
        return partial(_combined, folded.weights), {
            "branch": "slerp" if folded.curved else "linear",
            "angles_rad": folded.angles_rad,
            "order_effect": difference / length if length else 0.0,
        }

    return blend


@blends
def linear(models: Models) -> Blend:
    """The mean of the tuned models."""
    tasks = len(models.tuned)
    return _same_for_all([0.0, *[1 / tasks] * tasks])


@blends
def update_sum(models: Models, *, scale: float = 0.5) -> Blend:
    """The base model plus `scale` times the sum of all updates (arXiv:2212.04089)."""
    _require_positive("scale", scale)
    tasks = len(models.tuned)
    return _same_for_all([1 - tasks * scale, *[scale] * tasks])


@blends
def ties(models: Models, *, density: float = 0.2, scale: float = 1.0) -> Blend:
    """Trim, elect the sign, take the mean of those that agree (TIES, arXiv:2306.01708).

    Of each task's update the largest `density` over the whole model is kept, which takes one bit
    of memory for each entry and task.
    """
    require_share(density, "density")
    _require_positive("scale", scale)
    kept = [_largest_updates(models.base, weights, density) for weights in models.tuned]

    def values(bits: list[Bits], piece: Piece) -> Tensor:
        kept_here = [unpack(piece.cut(part), piece.stop - piece.start) for part in bits]
        trimmed = torch.where(torch.from_numpy(np.stack(kept_here)), piece.updates, 0)
        agrees = (trimmed.sign() == trimmed.sum(0).sign()) & (trimmed != 0)
        agreed_mean = torch.where(agrees, trimmed, 0).sum(0) / agrees.sum(0).clamp(min=1)
        return piece.base + scale * agreed_mean

    return lambda name: (partial(values, [mask.bits(name) for mask in kept]), {"branch": "ties"})


@blends
def dare(models: Models, *, drop: float = 0.9, scale: float = 0.5, seed: int = 0) -> Blend:
    """The sum of updates of which random entries are kept and scaled up (DARE, arXiv:2311.03099).

    Each task's update loses the share `drop` of its entries, drawn for each task apart; the others
    grow by 1 / (1 - drop), so that the expected sum is that of `update_sum`.
    """
    require_share(drop, "drop")
    _require_positive("scale", scale)
    draws = [noise(f"dare/{seed}/{number}") for number in range(len(models.tuned))]

    def values(piece: Piece) -> Tensor:
        drawn = torch.stack([draw(piece.name, piece.start, piece.stop) for draw in draws])
        kept = torch.where(drawn >= drop, piece.updates, 0).sum(0)
        return piece.base + scale / (1 - drop) * kept

    return lambda name: (values, {"branch": "dare"})


@blends
def consensus(models: Models, *, agreement: float = 0.4, scale: float = 0.5) -> Blend:
    """The sum of updates, only where two or more tasks need the entry (arXiv:2405.07813).

    A task needs an entry where its own update is at least `agreement` (the source's λ) times
    what the other tasks' updates add up to. `scale` is as in `update_sum`.
    """
    _require_positive("agreement", agreement)
    _require_positive("scale", scale)
    fewest = min(2, len(models.tuned))

    def values(piece: Piece) -> Tensor:
        total = piece.updates.sum(0)
        needs = piece.updates.abs() >= agreement * (total - piece.updates).abs()
        return piece.base + torch.where(needs.sum(0) >= fewest, scale * total, 0)

    return lambda name: (values, {"branch": "consensus"})


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InputError(f"{name} is {value}", way_out="give a number above 0")


def _largest_updates(base: Weights, tuned: Weights, share: float) -> ParameterMask:
    def size(*place: Any) -> Tensor:
        return Models(base, (tuned,)).piece(*place).updates[0].float().abs()

    return top_share(shared(base.float_shapes), size, share)


def _same_for_all(weights: Sequence[float]) -> Blend:
    values = partial(_combined, np.array(weights))
    return lambda name: (values, {"branch": "linear"})


def _combined(weights: Floats, piece: Piece) -> Tensor:
    return torch.from_numpy(weights).to(piece.values.dtype) @ piece.values


class Fold(NamedTuple):
    """A fold of the tuned tensors."""

    weights: Floats  # of the base tensor (always 0) and of the tuned ones
    angles_rad: list[float]
    curved: bool  # whether any step was SLERP and not a straight line


def fold(gram: Floats, epsilon: float) -> Fold:
    """SLERP of the tuned tensors, task by task; the k-th joins with weight 1 / k.

    All of it happens in the span of the tensors, so the inner products of the base tensor and
    the updates say everything, and no tensor is needed.
    """
    count = len(gram)
    blended = _unit(1, count)
    angles, curved = [], False
    for joining in range(2, count):
        other = _unit(joining, count)
        angle, weight = angle_between(blended, other, gram), 1 / joining
        angles.append(angle)
        if epsilon <= angle <= math.pi - epsilon:
            kept = math.sin((1 - weight) * angle) / math.sin(angle)
            blended = kept * blended + math.sin(weight * angle) / math.sin(angle) * other
            curved = True
        else:
            blended = blended + weight * (other - blended)
    return Fold(blended, angles, curved)


def angle_between(a: Floats, b: Floats, gram: Floats) -> float:
    """The angle in radians of two sums of base and tuned tensors; 0 if one has no length.

    As 2·asin(chord / 2): arccos loses half the digits where the cosine is nearly 1.
    """
    a, b = _over_updates(a), _over_updates(b)
    a_length, b_length = _length(a, gram), _length(b, gram)
    if not a_length or not b_length:
        return 0.0
    chord = _length(a / a_length - b / b_length, gram)
    return 2 * math.asin(min(chord / 2, 1.0))


def _over_updates(weights: Floats) -> Floats:
    """Weights of base and tuned tensors as weights of the base tensor and the updates."""
    return np.concatenate([[weights.sum()], weights[1:]])


def _length(vector: Floats, gram: Floats) -> float:
    return math.sqrt(max(float(vector @ gram @ vector), 0.0))


def _unit(place: int, count: int) -> Floats:
    return np.eye(count)[place]
