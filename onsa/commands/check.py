"""`onsa check`: what a recipe would do, through the real loader and encoder, nothing trained."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from onsa.commands.tune import read_recipe, tokens_to_train, ways_of
from onsa.data.balance import label_balance
from onsa.data.batches import cut_facts
from onsa.data.encoded import UNTRAINED
from onsa.data.encoding import Encoder
from onsa.data.requests import context_text, requests_of, scored_lengths
from onsa.inspection.notes import inspection_notes, near_is_missing
from onsa.models.device import compute_dtype, device
from onsa.models.places import place_of
from onsa.prepare.ready import make_ready
from onsa.recipe.schema import Recipe
from onsa.recipe.training import Training
from onsa.tasks import Task
from onsa.training.memory import changes, largest_batch, memory_there, scoring_bytes, training_bytes
from onsa.weights import Weights

BYTES_PER_WEIGHT = 4
ROLES = ("embedding", "attention", "mlp", "norm", "head", "other")
TRAINING_FLOPS_PER_PARAMETER = 6  # forward 2, backward 4, for each token (arXiv:2001.08361)
REACHED_SHARE = 0.5  # of a plain matrix product's speed; 0.4 to 0.6 was seen on small models


def check_recipe(path: Path, overrides: list[str]) -> dict[str, Any]:
    """Tasks, samples, parameters by place, and an estimate of tokens, memory and time, as JSON.

    Raises:
        InputError: whatever would stop the run.
    """
    recipe = read_recipe(path, overrides)
    home = path.resolve().parent
    ready = make_ready(recipe, home, ways_of(recipe))
    tasks, untrained, encoder = ready.tasks, ready.untrained_tasks, ready.encoder
    weights = Weights(ready.model_folder)
    facts = [task_facts(task, encoder) for task in tasks]
    return {
        "method": recipe.method,
        "baselines": [baseline.label for baseline in recipe.baselines],
        "model": {"folder": str(ready.model_folder), "parameters": weights.entry_count},
        "tasks": facts,
        "untrained_tasks": {task.name: len(task.evaluation) for task in untrained},
        "asked": [asked_facts(task, encoder) for task in untrained if task.mode == "requests"],
        "parameters": parameters_by_place(weights),
        "estimate": estimate(recipe, tasks, encoder, weights),
        "notes": ready.notes + data_notes(tasks),
    }


def task_facts(task: Task, encoder: Encoder) -> dict[str, Any]:
    rows = encoder.encode_all(task.train)
    lengths = sorted(len(row.ids) for row in rows)
    return {
        "name": task.name,
        "kind": task.kind,
        "metric": task.metric,
        "head": task.head.problem if task.head else None,
        "train_rows": len(task.train),
        "eval_rows": len(task.evaluation),
        "weight": task.weight,
        "rows_per_epoch": task.rows_per_epoch,
        "split": task.split,
        "labels": label_balance(task.train, task.evaluation),
        "trained_tokens_per_epoch": round(task.weight * sum(row.trained_tokens for row in rows)),
        "tokens_per_epoch": round(task.weight * sum(lengths)),
        "longest": lengths[-1],
        "median": lengths[len(lengths) // 2],
        "cut": cut_facts(rows),
        "sample": sample_pieces(task, encoder),
    }


def asked_facts(task: Task, encoder: Encoder) -> dict[str, Any]:
    """A task of an evaluation harness: how it is scored, and its first row as the model sees it."""
    row = task.evaluation[0]
    first = requests_of(row)[0]
    return {
        "name": task.name,
        "kind": task.kind,
        "metric": task.metric,
        "split": task.split,
        "how": task.how,
        "longest": max(scored_lengths(task.evaluation, encoder)),
        "requests": sum(len(requests_of(each)) for each in task.evaluation),
        "sample": [
            (False, context_text(first, encoder.tokenizer)),
            (True, first["continuation"] or row.reply),
        ],
    }


def data_notes(tasks: list[Task]) -> list[str]:
    """What inspection finds in the rows of each task; what holds for all tasks is said once."""
    notes = [
        f"task {task.name}: {note}"
        for task in tasks
        for note in inspection_notes(task.train, task.evaluation)
    ]
    missing = near_is_missing()
    return [*notes, *([missing] if missing else [])]


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
        "trained_by": sorted({"heads" if task.head else "replies" for task in tasks}),
        "processed_tokens_with_baselines": processed,
        "memory_bytes": training_bytes(training, largest_batch(training, rows), weights),
        "memory_there_bytes": memory_there(),
        "less_memory": [str(change) for change in changes(training, rows, weights)],
        "training_seconds": round(flops / speed),
        "scoring_memory_bytes": scoring_bytes(training, tasks, encoder, weights),
        "scoring_seconds": _scoring_seconds(training, tasks, encoder, weights, speed),
    }


def _scoring_seconds(
    training: Training, tasks: list[Task], encoder: Encoder, weights: Weights, speed: float
) -> int:
    """Of all evaluation rows once: their prompts in one go, their replies token by token."""
    size = training.per_device_eval_batch_size
    forward = 2 * weights.entry_count / speed  # for each token
    # A token of a batch takes as long as reading all the weights, if that is longer.
    reading = BYTES_PER_WEIGHT * weights.entry_count / bytes_per_second()
    seconds = 0.0
    for task in tasks:
        rows = scored_lengths(task.evaluation, encoder)
        seconds += forward * sum(rows)
        batches = math.ceil(len(rows) / size)
        seconds += batches * task.max_new_tokens * max(reading, min(size, len(rows)) * forward)
    return round(seconds)


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


def bytes_per_second() -> float:
    """How quickly memory is read here, measured for a tenth of a second."""
    block = torch.ones(2**26, device=device())
    block.sum().item()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < 0.1:
        block.sum().item()
        done += 1
    return done * block.numel() * block.element_size() / (time.perf_counter() - started)
