"""Streaming arithmetic over all entries of a model: work in pieces, and the exact top share."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onsa.errors import InputError
from onsa.masks import Bits, ParameterMask, byte_count, count_bits, indices, pack
from onsa.tensor_file import Shape

Shapes = Mapping[str, Shape]
Piece = tuple[str, int, int]  # a tensor's name, the first entry, one past the last entry
Result = TypeVar("Result")

Saliency = Callable[[str, int, int], Tensor]
"""(name, start, stop) -> the saliency of these entries of the flattened tensor: float32, >= 0."""

PIECE_ENTRIES = 1 << 18  # 1 MB in float32: smaller costs more in Python, larger leaves the caches
SMALL_MODEL_ENTRIES = 1 << 22  # so many are sorted without a sample
SAMPLE_RUNS, RUN_ENTRIES = 512, 2048
SAMPLE_SEED = 20250821  # the sample decides how long the search takes, never what it finds


def pieces(shapes: Shapes) -> Iterator[Piece]:
    """All entries, piece by piece, tensors in alphabetical order."""
    for name in sorted(shapes):
        size = math.prod(shapes[name])
        for start in range(0, size, PIECE_ENTRIES):
            yield name, start, min(start + PIECE_ENTRIES, size)


def in_order(function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    """`function(*job)` for each job, on as many threads as torch has; results in the jobs' order.

    Each thread has a piece of its own: torch's way, all threads on one piece, costs more in
    waiting for each other than a piece of this size is worth, above all where cores are busy.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[Result]] = deque()
            for job in jobs:
                waiting.append(pool.submit(function, *job))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


def require_share(share: float, name: str = "share") -> None:
    if not 0 < share < 1:
        raise InputError(
            f"{name} is {share}", way_out="give a share between 0 and 1, such as 0.01 for 1 %"
        )


def count_of_share(share: float, entry_count: int) -> int:
    """floor(share * entry_count), with `share` as it is written: 0.29 of 100 is 29, not 28."""
    return int(Decimal(str(share)) * entry_count)


def entry_count(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes.values()))


def top_share(shapes: Shapes, saliency: Saliency, share: float) -> ParameterMask:
    """The floor(share * D) entries with the largest saliency among all D entries of the model.

    Exact. Of equal entries the first in alphabetical order of names, then by index, are taken.
    NaN is an InputError. As a rule every entry is read once. Memory: a bit for each entry (two
    where many are equal), and six bytes for each of the few that a sample leaves undecided.
    """
    require_share(share)
    return top_count(shapes, saliency, count_of_share(share, entry_count(shapes)))


def top_count(shapes: Shapes, saliency: Saliency, count: int) -> ParameterMask:
    """The `count` entries with the largest saliency (see `top_share`)."""
    assert 0 <= count <= entry_count(shapes), f"{count} of {entry_count(shapes)} entries"
    if count == 0:
        return ParameterMask.nothing(shapes)
    bits = _take_between(shapes, saliency, count, *_estimated_bracket(shapes, saliency, count))
    if bits is None:
        bits = _take_at(shapes, saliency, count, _exact_threshold(shapes, saliency, count))
    assert bits is not None, "an exact threshold has the count-th entry at it"
    return ParameterMask.of_bits(shapes, bits)


def random_entries(shapes: Shapes, count: int, seed: int) -> ParameterMask:
    """`count` entries drawn at random; for one seed, a smaller draw is part of a larger one."""
    return top_count(shapes, noise(seed), count)


def noise(seed: int | str) -> Saliency:
    """Uniform in [0, 1), from seed, name and index alone (SplitMix64)."""

    def values(name: str, start: int, stop: int) -> Tensor:
        key = hashlib.sha256(f"{seed}\n{name}".encode()).digest()[:8]
        state = np.arange(start, stop, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state += np.frombuffer(key, dtype="<u8")
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
        return torch.from_numpy((state >> np.uint64(40)).astype(np.float32) * np.float32(2**-24))

    return values


def _estimated_bracket(shapes: Shapes, saliency: Saliency, count: int) -> tuple[float, float]:
    """Two saliencies that most probably enclose that of the count-th largest entry.

    From runs spread evenly over the model. Entries of a run may be alike (the row of a rare
    word), so the error is that of the mean over runs: four standard deviations to either side.
    """
    if entry_count(shapes) <= SMALL_MODEL_ENTRIES:
        return 0.0, math.inf
    runs = [saliency(*run).numpy() for run in _sample_runs(shapes)]
    falling = -np.sort(-np.concatenate(runs))
    share = count / entry_count(shapes)
    middle = falling[int(share * falling.size)]
    deviation = np.std([np.count_nonzero(run >= middle) / run.size for run in runs])
    margin = 4 * (deviation / math.sqrt(len(runs)) + math.sqrt(share / falling.size))
    ranks = [int((share + sign * margin) * falling.size) for sign in (1, -1)]
    low = falling[ranks[0]] if ranks[0] < falling.size else 0.0
    high = falling[ranks[1]] if ranks[1] > 0 else math.inf
    return float(low), float(high)


def _sample_runs(shapes: Shapes) -> Iterator[Piece]:
    names = sorted(shapes)
    ends = np.cumsum([math.prod(shapes[name]) for name in names])
    draws = np.arange(SAMPLE_RUNS) + np.random.default_rng(SAMPLE_SEED).random(SAMPLE_RUNS)
    for position in (draws * (ends[-1] / SAMPLE_RUNS)).astype(np.int64):
        tensor = int(np.searchsorted(ends, position, side="right"))
        size = math.prod(shapes[names[tensor]])
        start = int(position - (ends[tensor] - size))
        yield names[tensor], start, min(start + RUN_ENTRIES, size)


class _Candidates(NamedTuple):
    """The undecided entries of one piece."""

    name: str
    start: int
    entries: NDArray[np.uint32]  # counted from `start`
    values: NDArray[np.float32]


def _take_between(
    shapes: Shapes, saliency: Saliency, count: int, low: float, high: float
) -> dict[str, Bits] | None:
    """The `count` largest, if the last of them lies in the bracket; None where it does not.

    Also None where too many lie in it to be kept: most entries of a bfloat16 update are equal to
    many others, so that a bracket may hold any share of the model.
    """
    if low == high:
        return _take_at(shapes, saliency, count, low)
    bits = _no_bits(shapes)

    def sort_out(name: str, start: int, stop: int) -> tuple[int, _Candidates]:
        values = _checked(saliency(name, start, stop), name)
        above = pack(values > np.float32(high))
        bits[name][start // 8 : byte_count(stop)] = above
        undecided = indices(above ^ pack(values >= np.float32(low)))
        candidates = _Candidates(name, start, undecided.astype(np.uint32), values[undecided])
        return count_bits(above), candidates

    missing, undecided, kept = count, 0, []
    most_undecided = max(SMALL_MODEL_ENTRIES, entry_count(shapes) // 16)
    for above_count, candidates in in_order(sort_out, pieces(shapes)):
        missing -= above_count
        undecided += candidates.values.size
        kept.append(candidates)
        if missing < 0 or undecided > most_undecided:
            return None
    if missing > undecided:
        return None
    _add_largest(bits, kept, missing)
    return bits


def _add_largest(bits: dict[str, Bits], kept: list[_Candidates], missing: int) -> None:
    """Set the bits of the `missing` largest candidates; of equal ones the first."""
    if not missing:
        return
    values = np.concatenate([candidates.values for candidates in kept])
    threshold = np.partition(values, values.size - missing)[values.size - missing]
    equal_left = missing - np.count_nonzero(values > threshold)
    for candidates in kept:
        taken = candidates.values > threshold
        equal = np.flatnonzero(candidates.values == threshold)[:equal_left]
        equal_left -= equal.size
        taken[equal] = True
        _set_bits(
            bits[candidates.name], candidates.start + candidates.entries[taken].astype(np.int64)
        )


def _take_at(
    shapes: Shapes, saliency: Saliency, count: int, threshold: float
) -> dict[str, Bits] | None:
    """All entries above `threshold`, and as many at it, from the first, as make up `count`.

    None if there are more above it, or too few at it.
    """
    bits, equal = _no_bits(shapes), _no_bits(shapes)

    def sort_out(name: str, start: int, stop: int) -> tuple[int, int]:
        values = _checked(saliency(name, start, stop), name)
        place = slice(start // 8, byte_count(stop))
        above, at = pack(values > np.float32(threshold)), pack(values == np.float32(threshold))
        bits[name][place], equal[name][place] = above, at
        return count_bits(above), count_bits(at)

    counts = list(in_order(sort_out, pieces(shapes)))
    missing = count - sum(above for above, _ in counts)
    if not 0 <= missing <= sum(at for _, at in counts):
        return None
    for name in bits:
        first = _first_bits(equal.pop(name), missing)
        missing -= count_bits(first)
        bits[name] |= first
    return bits


def _first_bits(bits: Bits, count: int) -> Bits:
    """The first `count` of the bits that are set."""
    if count == 0:
        return np.zeros_like(bits)
    if count >= count_bits(bits):
        return bits
    first = np.zeros_like(bits)
    _set_bits(first, indices(bits)[:count])
    return first


def _exact_threshold(shapes: Shapes, saliency: Saliency, count: int) -> float:
    """The saliency of the count-th largest entry, in two passes and constant memory.

    Floats that are not negative have the order of their bit patterns: one histogram of the upper
    16 bits, and one of the lower 16 bits of those whose upper half is the one sought.
    """

    def upper_halves(*piece: Any) -> NDArray[np.int64]:
        patterns = saliency(*piece).numpy().view(np.uint32)
        return np.bincount(patterns >> 16, minlength=1 << 16)

    upper, count = _bin_of(_total(upper_halves, shapes), count)

    def lower_halves(*piece: Any) -> NDArray[np.int64]:
        patterns = saliency(*piece).numpy().view(np.uint32)
        return np.bincount(patterns[patterns >> 16 == upper] & 0xFFFF, minlength=1 << 16)

    lower, _ = _bin_of(_total(lower_halves, shapes), count)
    return float(np.uint32(upper << 16 | lower).view(np.float32))


def _total(histogram: Callable[..., NDArray[np.int64]], shapes: Shapes) -> NDArray[np.int64]:
    total = np.zeros(1 << 16, dtype=np.int64)
    for part in in_order(histogram, pieces(shapes)):
        total += part
    return total


def _bin_of(histogram: NDArray[np.int64], count: int) -> tuple[int, int]:
    """The bin of the count-th largest, and which one it is among those in the bin."""
    at_least = np.cumsum(histogram[::-1])[::-1]
    found = int(np.flatnonzero(at_least >= count)[-1])
    return found, count - int(at_least[found] - histogram[found])


def _checked(saliency: Tensor, name: str) -> NDArray[np.float32]:
    values = saliency.numpy()
    if np.isnan(values.max()):  # a maximum hands on any NaN
        raise InputError(
            f"the update of tensor {name!r} has NaN in it",
            way_out="its training diverged: lower the learning rate, or use another checkpoint",
        )
    return values


def _no_bits(shapes: Shapes) -> dict[str, Bits]:
    return {
        name: np.zeros(byte_count(math.prod(shapes[name])), dtype=np.uint8)
        for name in sorted(shapes)
    }


def _set_bits(bits: Bits, entries: NDArray[np.int64]) -> None:
    np.bitwise_or.at(bits, entries >> 3, (1 << (entries & 7)).astype(np.uint8))
