"""`onsa check`: what a recipe would do, through the real loader and encoder, nothing trained."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from onsa.base_model import find_model
from onsa.commands.tune import read_recipe
from onsa.data.encoding import UNTRAINED, Encoder
from onsa.methods import all_methods
from onsa.models import compute_dtype, device, needs_import, place_of
from onsa.prepare import check_rows, load_encoder, load_tasks, overlap_notes, task_notes
from onsa.recipe import Recipe
from onsa.resources import total_memory_bytes
from onsa.tasks import Task
from onsa.weights import Weights

BYTES_PER_PARAMETER = 16  # float32 weight, its gradient, and Adam's two moments
TRAINING_FLOPS_PER_PARAMETER = 6  # forward 2, backward 4, for each token (arXiv:2001.08361)
REACHED_SHARE = 0.5  # of a plain matrix product's speed; 0.4 to 0.6 was seen on small models


def check_recipe(path: Path, overrides: list[str]) -> dict[str, Any]:
    """Tasks, samples, what trains, trained tokens, and an estimate of memory and time, as JSON.

    Raises:
        InputError: whatever would stop the run.
    """
    recipe = read_recipe(path, overrides)
    home = path.resolve().parent
    model_folder = find_model(recipe.model, home)
    tasks = load_tasks(recipe, home)
    encoder = load_encoder(recipe, model_folder, home)
    check_rows(tasks, encoder)
    weights = Weights(model_folder)
    needs_import(weights, recipe.trust_remote_code)  # says so if transformers cannot build it
    return {
        "method": recipe.method,
        "model": {"folder": str(model_folder), "parameters": weights.entry_count},
        "tasks": [task_facts(task, encoder) for task in tasks],
        "trains": what_trains(weights),
        "estimate": estimate(recipe, tasks, encoder, weights),
        "notes": [*task_notes(tasks), *overlap_notes(tasks, recipe.overlap_share)],
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


def sample_pieces(task: Task, encoder: Encoder) -> list[tuple[bool, str]]:
    """The first training row as the model sees it: stretches of text, trained or not."""
    encoded = encoder.encode(task.train[0])
    pieces: list[tuple[bool, list[int]]] = []
    for token, label in zip(encoded.ids, encoded.labels, strict=True):
        trained = label != UNTRAINED
        if not pieces or pieces[-1][0] != trained:
            pieces.append((trained, []))
        pieces[-1][1].append(token)
    return [(trained, encoder.tokenizer.decode(ids)) for trained, ids in pieces]


def what_trains(weights: Weights) -> list[dict[str, Any]]:
    """Entries by block and role; all of them train, unless a stage holds some."""
    counts: Counter[tuple[str, str]] = Counter()
    for name, shape in weights.shapes.items():
        place = place_of(name)
        counts[place.block, place.role] += torch.Size(shape).numel()
    return [
        {"block": block, "role": role, "entries": entries}
        for (block, role), entries in counts.items()
    ]


def estimate(
    recipe: Recipe, tasks: list[Task], encoder: Encoder, weights: Weights
) -> dict[str, Any]:
    """Trained tokens of the method, memory of its largest batch, seconds at this speed."""
    method = all_methods()[recipe.method]
    settings = method.settings(**recipe.settings)
    epochs = method.epochs(settings, recipe.training.num_train_epochs)
    rows = [encoder.encode(row) for task in tasks for row in task.train]
    processed = epochs * sum(len(row.ids) for row in rows) * (1 + len(recipe.baselines))
    longest = sorted((len(row.ids) for row in rows), reverse=True)
    batch = longest[: recipe.training.per_device_train_batch_size]
    activations = 40 * _width(weights) * len(batch) * batch[0]
    flops = TRAINING_FLOPS_PER_PARAMETER * weights.entry_count * processed
    speed = REACHED_SHARE * matrix_flops_per_second(compute_dtype(recipe.training.precision))
    return {
        "trained_tokens": round(epochs * sum(row.trained_tokens for row in rows)),
        "processed_tokens_with_baselines": round(processed),
        "memory_bytes": BYTES_PER_PARAMETER * weights.entry_count + activations,
        "memory_there_bytes": _memory_there(),
        "training_seconds": round(flops / speed),
    }


def _width(weights: Weights) -> int:
    """Numbers that a token leaves behind for the backward pass, roughly: the matrices' outputs."""
    return sum(shape[0] for name, shape in weights.shapes.items() if len(shape) == 2) // 10


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


def show(facts: dict[str, Any]) -> None:
    """Print the facts for a person: trained text is marked, by colour and by brackets."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(
        "task", "kind", "train", "eval", "tokens (median, longest)", "trained tokens", "cut"
    )
    for task in facts["tasks"]:
        table.add_row(
            task["name"], f"{task['kind']} ({task['metric']})", f"{task['train_rows']:,}",
            f"{task['eval_rows']:,}", f"{task['median']}, {task['longest']}",
            f"{task['trained_tokens_per_epoch']:,}", f"{task['cut_rows']} rows",
        )  # fmt: skip
    console.print(table)
    for task in facts["tasks"]:
        text = Text(
            f"{task['name']}, first row; trained tokens stand in [green]⟦…⟧[/green]:\n".replace(
                "[green]", ""
            ).replace("[/green]", "")
        )
        for trained, piece in task["sample"]:
            text.append(f"⟦{piece}⟧" if trained else piece, "bold green" if trained else "dim")
        console.print(text, "")
    _show_places(console, facts["trains"])
    _show_estimate(console, facts)
    for note in facts["notes"]:
        console.print(f"note: {note}", markup=False)


def _show_places(console: Any, places: list[dict[str, Any]]) -> None:
    from rich.table import Table

    roles = list(dict.fromkeys(place["role"] for place in places))
    table = Table("block", *roles, title="what trains (entries)")
    for block in dict.fromkeys(place["block"] for place in places):
        own = {place["role"]: place["entries"] for place in places if place["block"] == block}
        table.add_row(block, *(f"{own[role]:,}" if role in own else "" for role in roles))
    console.print(table)


def _show_estimate(console: Any, facts: dict[str, Any]) -> None:
    from onsa.progress import clock

    guess = facts["estimate"]
    console.print(
        f"{facts['method']}: {guess['trained_tokens']:,} trained tokens; "
        f"{guess['processed_tokens_with_baselines']:,} tokens processed, baselines with it; about "
        f"{clock(guess['training_seconds'])} of training on this machine; memory about "
        f"{guess['memory_bytes'] / 1e9:.1f} GB of {guess['memory_there_bytes'] / 1e9:.1f} GB"
    )
    if guess["memory_bytes"] > guess["memory_there_bytes"]:
        console.print(
            "note: that does not fit; cheapest first: per_device_train_batch_size=1, "
            "gradient_checkpointing=true, a shorter max_length, a smaller model",
            markup=False,
        )
