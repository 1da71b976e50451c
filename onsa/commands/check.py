"""`onsa check`: what a recipe would do, through the real loader and encoder, nothing trained."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from onsa.commands.tune import read_recipe, tokens_to_train, ways_of
from onsa.data.encoding import UNTRAINED, Encoded, Encoder
from onsa.models import compute_dtype, device, place_of
from onsa.prepare import make_ready
from onsa.recipe import Recipe, Training
from onsa.resources import total_memory_bytes
from onsa.tasks import Task
from onsa.weights import Weights

BYTES_PER_PARAMETER = 16  # float32 weight, its gradient, and Adam's two moments
ROLES = ("embedding", "attention", "mlp", "norm", "head", "other")
BYTES_PER_OUTPUT = 12  # of a matrix, for each token: seen on SmolLM2-135M in float32
LIBRARY_BYTES = 400_000_000
TRAINING_FLOPS_PER_PARAMETER = 6  # forward 2, backward 4, for each token (arXiv:2001.08361)
REACHED_SHARE = 0.5  # of a plain matrix product's speed; 0.4 to 0.6 was seen on small models


def check_recipe(path: Path, overrides: list[str]) -> dict[str, Any]:
    """Tasks, samples, parameters by place, and an estimate of tokens, memory and time, as JSON.

    Raises:
        InputError: whatever would stop the run.
    """
    recipe = read_recipe(path, overrides)
    home = path.resolve().parent
    tasks, untrained, model_folder, encoder, notes = make_ready(recipe, home, ways_of(recipe))
    weights = Weights(model_folder)
    facts = [task_facts(task, encoder) for task in tasks]
    return {
        "method": recipe.method,
        "baselines": [baseline.label for baseline in recipe.baselines],
        "model": {"folder": str(model_folder), "parameters": weights.entry_count},
        "tasks": facts,
        "untrained_tasks": {task.name: len(task.evaluation) for task in untrained},
        "parameters": parameters_by_place(weights),
        "estimate": estimate(recipe, tasks, encoder, weights),
        "notes": notes + cut_notes(facts, encoder.max_length),
    }


def task_facts(task: Task, encoder: Encoder) -> dict[str, Any]:
    rows = [encoder.encode(row) for row in task.train]
    lengths = sorted(len(row.ids) for row in rows)
    return {
        "name": task.name,
        "kind": task.kind,
        "metric": task.metric,
        "train_rows": len(task.train),
        "eval_rows": len(task.evaluation),
        "trained_tokens_per_epoch": sum(row.trained_tokens for row in rows),
        "tokens_per_epoch": sum(lengths),
        "longest": lengths[-1],
        "median": lengths[len(lengths) // 2],
        "cut_rows": sum(row.lost_tokens > 0 for row in rows),
        "cut_reply_tokens": sum(row.lost_tokens for row in rows),
        "sample": sample_pieces(task, encoder),
    }


def cut_notes(tasks: list[dict[str, Any]], max_length: int) -> list[str]:
    """A sentence for each task whose replies do not all fit."""
    return [
        f"task {task['name']}: {task['cut_reply_tokens']:,} reply tokens in {task['cut_rows']:,} "
        f"rows lie beyond max_length {max_length} and are not trained"
        for task in tasks
        if task["cut_rows"]
    ]


def sample_pieces(task: Task, encoder: Encoder) -> list[tuple[bool, str]]:
    """The first training row as the model sees it: stretches of text, trained or not.

    What a head is to say of the row stands after it.
    """
    encoded = encoder.encode(task.train[0])
    if encoded.target is not None:
        return [(False, encoder.tokenizer.decode(encoded.ids)), (True, task.train[0].reply)]
    pieces: list[tuple[bool, list[int]]] = []
    for token, label in zip(encoded.ids, encoded.labels, strict=True):
        trained = label != UNTRAINED
        if not pieces or pieces[-1][0] != trained:
            pieces.append((trained, []))
        pieces[-1][1].append(token)
    return [(trained, encoder.tokenizer.decode(ids)) for trained, ids in pieces]


def parameters_by_place(weights: Weights) -> list[dict[str, Any]]:
    """Entries by block and role, from the input on."""
    counts: Counter[tuple[str, str]] = Counter()
    for name, shape in weights.float_shapes.items():
        place = place_of(name)
        counts[place.block, place.role] += math.prod(shape)
    return [
        {"block": block, "role": role, "entries": counts[block, role]}
        for block, role in sorted(counts, key=_from_input_to_output)
    ]


def _from_input_to_output(place: tuple[str, str]) -> tuple[int, int, int]:
    block, role = place
    if block.isdigit():
        return 1, int(block), ROLES.index(role)
    return (0 if block == "embedding" else 2), ROLES.index(block), ROLES.index(role)


def estimate(
    recipe: Recipe, tasks: list[Task], encoder: Encoder, weights: Weights
) -> dict[str, Any]:
    """Trained tokens, memory of the largest batch, seconds at this machine's speed.

    `of` says of what: the whole run, or each training where `max_steps` sets its length.
    """
    training = recipe.training
    rows = [encoder.encode(row) for task in tasks for row in task.train]
    an_epoch = sum(len(row.ids) for row in rows)
    processed = tokens_to_train(recipe, tasks, encoder)
    ways = 1 + len(recipe.baselines)
    if processed is None:
        batch_rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
        processed, ways = round(training.max_steps * batch_rows / len(rows) * an_epoch), 1
    trained_share = sum(row.trained_tokens for row in rows) / an_epoch
    flops = TRAINING_FLOPS_PER_PARAMETER * weights.entry_count * processed
    speed = REACHED_SHARE * matrix_flops_per_second(compute_dtype(training.precision))
    return {
        "of": "each training" if training.max_steps > 0 else "the whole run",
        "trained_tokens": round(processed / ways * trained_share),
        "processed_tokens_with_baselines": processed,
        "memory_bytes": _memory(training, rows, weights),
        "memory_there_bytes": _memory_there(),
        "less_memory": _less_memory(training),
        "training_seconds": round(flops / speed),
    }


def _memory(training: Training, rows: list[Encoded], weights: Weights) -> int:
    """Bytes for a step on the longest rows."""
    longest = sorted(rows, key=lambda row: -len(row.ids))[: training.per_device_train_batch_size]
    tokens = len(longest) * len(longest[0].ids)
    outputs, blocks, vocabulary, width = _sizes(weights)
    if training.gradient_checkpointing:  # what goes into each block, and one block's outputs
        activations = BYTES_PER_OUTPUT * outputs / blocks + 4 * width * blocks
    else:
        activations = BYTES_PER_OUTPUT * outputs
    logits = BYTES_PER_OUTPUT * vocabulary * sum(row.trained_tokens for row in longest)
    fixed = BYTES_PER_PARAMETER * weights.entry_count + LIBRARY_BYTES
    return round(fixed + activations * tokens + logits)


def _sizes(weights: Weights) -> tuple[int, int, int, int]:
    """Outputs of all matrices of the blocks, number of blocks, size of vocabulary, width."""
    matrices = {name: shape for name, shape in weights.shapes.items() if len(shape) == 2}
    places = {name: place_of(name).block for name in matrices}
    inside = [name for name in matrices if places[name].isdigit()]
    outputs = sum(matrices[name][0] for name in inside)
    largest = max(matrices.values(), default=(1, 1))  # the embedding: a row for each token
    return outputs, len({places[name] for name in inside}) or 1, largest[0], largest[1]


def _less_memory(training: Training) -> list[str]:
    """What would take less memory, the cheapest first."""
    size = training.per_device_train_batch_size
    return [
        *([f"per_device_train_batch_size={max(1, size // 4)}"] if size > 1 else []),
        *([] if training.gradient_checkpointing else ["gradient_checkpointing=true"]),
        "a shorter max_length",
        "a smaller model",
    ]


def _memory_there() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return total_memory_bytes()


def matrix_flops_per_second(dtype: torch.dtype) -> float:
    """The speed of a plain matrix product here, measured for a third of a second."""
    size = 4096 if torch.cuda.is_available() else 1024
    left = torch.ones(size, size, dtype=dtype, device=device())
    (left @ left).sum().item()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < 0.3:
        (left @ left)[0, 0].item()
        done += 1
    return done * 2 * size**3 / (time.perf_counter() - started)
