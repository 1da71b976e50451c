"""How much memory training and scoring take, and what to change where it does not suffice.

Estimates from the shapes of the weights and the lengths of the rows, for weights that all train.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch

from onsa.data.encoded import Encoded
from onsa.data.encoding import Encoder
from onsa.data.requests import scored_lengths
from onsa.errors import InputError
from onsa.models.device import compute_dtype
from onsa.models.places import place_of
from onsa.recipe.training import Training
from onsa.resources import total_memory_bytes
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.tasks import Task

BYTES_PER_PARAMETER = 16  # float32 weight, its gradient, and Adam's two moments
BYTES_PER_OUTPUT = 12  # of a matrix, for each token: seen on SmolLM2-135M in float32
LIBRARY_BYTES = 400_000_000
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")  # what torch says


class Batch(NamedTuple):
    """The largest batch: its sequences, their padded length, and the reply tokens in them."""

    rows: int
    length: int
    trained_tokens: int

    @property
    def tokens(self) -> int:
        return self.rows * self.length


class Change(NamedTuple):
    """Keys to change, and the bytes that training would then take."""

    keys: dict[str, int | bool]
    bytes: int

    def __str__(self) -> str:
        keys = " ".join(f"{key}={str(value).lower()}" for key, value in self.keys.items())
        return f"{keys} (about {in_bytes(self.bytes)})"


def largest_batch(training: Training, rows: Sequence[Encoded]) -> Batch:
    """The longest rows at once; of packed ones, as many sequences as a batch has."""
    size = training.per_device_train_batch_size
    longest = sorted(rows, key=lambda row: -len(row.ids))[:size]
    if not training.packing:
        return Batch(len(longest), len(longest[0].ids), sum(row.trained_tokens for row in longest))
    tokens = sum(len(row.ids) for row in rows)
    length = min(training.max_length, tokens)
    size = min(size, -(-tokens // length))
    share = sum(row.trained_tokens for row in rows) / tokens
    return Batch(size, length, round(share * size * length))


def training_bytes(training: Training, batch: Batch, weights: Weights) -> int:
    """For a step on a batch."""
    outputs, blocks, vocabulary, width = _sizes(weights)
    if training.gradient_checkpointing:  # what goes into each block, and one block's outputs
        activations = BYTES_PER_OUTPUT * outputs / blocks + 4 * width * blocks
    else:
        activations = BYTES_PER_OUTPUT * outputs
    logits = BYTES_PER_OUTPUT * vocabulary * batch.trained_tokens
    fixed = BYTES_PER_PARAMETER * weights.entry_count + LIBRARY_BYTES
    return round(fixed + activations * batch.tokens + logits)


def scoring_bytes(
    training: Training, tasks: Sequence[Task], encoder: Encoder, weights: Weights
) -> int:
    """For scoring the tasks' longest evaluation rows: weights, the outputs of one block, the keys
    and values of all, and the logits."""
    outputs, blocks, vocabulary, width = _sizes(weights)
    size = 2 if compute_dtype(training.precision) == torch.bfloat16 else 4
    most = 0
    for task in tasks:
        rows = sorted(scored_lengths(task.evaluation, encoder))
        longest = rows[-training.per_device_eval_batch_size :]
        length = longest[-1] + task.max_new_tokens
        replies = {"generate": 1, "head": 0}.get(task.mode, length)
        a_row = length * size * (outputs / blocks + 2 * width * blocks) + replies * vocabulary * 8
        most = max(most, round(len(longest) * a_row))
    return size * weights.entry_count + most + LIBRARY_BYTES


def _sizes(weights: Weights) -> tuple[int, int, int, int]:
    """Outputs of all matrices of the blocks, number of blocks, size of vocabulary, width."""
    matrices = {name: shape for name, shape in weights.shapes.items() if len(shape) == 2}
    places = {name: place_of(name).block for name in matrices}
    inside = [name for name in matrices if places[name].isdigit()]
    outputs = sum(matrices[name][0] for name in inside)
    largest = max(matrices.values(), default=(1, 1))  # the embedding: a row for each token
    return outputs, len({places[name] for name in inside}) or 1, largest[0], largest[1]


def memory_there() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return total_memory_bytes()


def changes(training: Training, rows: Sequence[Encoded], weights: Weights) -> list[Change]:
    """What would take less memory, the cheapest first: the first ones train the same steps."""
    size, steps = training.per_device_train_batch_size, training.gradient_accumulation_steps
    parts = sorted({part for part in (2, size) if size % part == 0} - {1})
    tried: list[dict[str, int | bool]] = [
        {
            "per_device_train_batch_size": size // part,
            "gradient_accumulation_steps": steps * part,
        }
        for part in parts
    ]
    if not training.gradient_checkpointing:
        tried.append({**(tried[-1] if tried else {}), "gradient_checkpointing": True})
    longest = min(training.max_length, max(len(row.ids) for row in rows))
    tried.append({"max_length": max(8, longest // 2)})
    return [Change(keys, _with(training, rows, weights, keys)) for keys in tried]


def _with(
    training: Training, rows: Sequence[Encoded], weights: Weights, keys: dict[str, int | bool]
) -> int:
    changed = training.model_copy(update=keys)
    batch = largest_batch(changed, rows)
    length = min(batch.length, changed.max_length)
    trained = batch.trained_tokens if length == batch.length else batch.trained_tokens // 2
    return training_bytes(changed, Batch(batch.rows, length, trained), weights)


def in_bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


@contextmanager
def training_fits(
    where: str, training: Training, rows: Sequence[Encoded], weights: Weights
) -> Iterator[None]:
    """Say what to change where a training runs out of memory."""
    with _one_line(where) as fault:
        yield
    if fault:
        batch = largest_batch(training, rows)
        taken = in_bytes(training_bytes(training, batch, weights))
        ways = "; or ".join(map(str, changes(training, rows, weights)))
        raise InputError(
            f"out of memory with batches of up to {batch.rows} x {batch.length} tokens (about "
            f"{taken} where all weights train; this machine has {in_bytes(memory_there())})",
            where=where,
            way_out=f"cheapest first: {ways}; or a method that trains less, such as lora",
        ) from None


@contextmanager
def scoring_fits(where: str, training: Training) -> Iterator[None]:
    """Say what to change where scoring runs out of memory."""
    with _one_line(where) as fault:
        yield
    if fault:
        size = training.per_device_eval_batch_size
        raise InputError(
            f"out of memory while {size} rows at once were scored",
            where=where,
            way_out=f"write 'per_device_eval_batch_size: {max(1, size // 4)}'"
            if size > 1
            else "lower max_new_tokens, or take the longest rows out",
        ) from None


@contextmanager
def _one_line(where: str) -> Iterator[list[Exception]]:
    """The fault inside, if it was that memory ran out; others go on their way."""
    found: list[Exception] = []
    try:
        yield found
    except (RuntimeError, MemoryError) as fault:
        if not (isinstance(fault, MemoryError) or any(t in str(fault) for t in NO_MEMORY)):
            raise
        found.append(fault)
