"""What `onsa check` found, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onsa.commands.check import ROLES

MOST_LABELS = 12  # in a table
LONGEST_SAMPLE = 1500  # characters that are shown of a text


def show(facts: dict[str, Any]) -> None:
    """Print the facts for a person: trained text is marked, by colour and by brackets."""
    console = Console(highlight=False, markup=False, emoji=False)
    compared = f", compared with {', '.join(facts['baselines'])}" if facts["baselines"] else ""
    console.print(f"{facts['method']}{compared}, on {facts['model']['folder']}\n")
    _show_tasks(console, facts["tasks"])
    if facts["untrained_tasks"]:
        rows = (f"{name} ({count:,} rows)" for name, count in facts["untrained_tasks"].items())
        console.print(f"scored, never trained: {', '.join(rows)}\n")
    for task in facts["tasks"]:
        _show_sample(console, task)
    _show_places(console, facts["parameters"])
    _show_estimate(console, facts["estimate"], facts["method"])
    for note in facts["notes"]:
        console.print(f"note: {note}")


def _table(texts: int, *names: str) -> Any:
    """A table without lines: the first columns hold text, which may wrap, the others numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        if place < texts:
            table.add_column(name, overflow="fold", min_width=8)
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


TASK_COLUMNS = {
    "train_rows": "rows to\ntrain",
    "rows_per_epoch": "\nan epoch",
    "eval_rows": "\nscore",
    "median": "tokens:\nmedian",
    "longest": "\nlongest",
    "trained_tokens_per_epoch": "trained\nan epoch",
}


def _show_tasks(console: Console, tasks: list[dict[str, Any]]) -> None:
    shown = dict(TASK_COLUMNS)
    if all(task["rows_per_epoch"] == task["train_rows"] for task in tasks):
        del shown["rows_per_epoch"]
    table = _table(2, "\ntask", "\nkind", *shown.values())
    for task in tasks:
        table.add_row(task["name"], task["kind"], *(f"{task[key]:,}" for key in shown))
    console.print(table)
    for task in tasks:
        _show_split(console, task)


def _show_split(console: Console, task: dict[str, Any]) -> None:
    """How the evaluation rows came about, and how often each label is on both sides."""
    if task["split"]:
        console.print(f"{task['name']} is scored on {task['split']}")
    labels = task["labels"]
    if not labels:
        return
    if len(labels) > MOST_LABELS:
        console.print(f"{task['name']}: {_label_range(labels)}\n")
        return
    table = _table(1, f"{task['name']}:\nlabel", "\nto train", "\nto score")
    for label, counts in labels.items():
        table.add_row(_shortened(label), *_with_shares(counts, task))
    console.print(table)


def _with_shares(counts: Mapping[str, int], task: Mapping[str, Any]) -> list[str]:
    wholes = {"train": task["train_rows"], "evaluation": task["eval_rows"]}
    return [f"{counts[side]:,} ({counts[side] / whole:.1%})" for side, whole in wholes.items()]


def _label_range(labels: Mapping[str, Mapping[str, int]]) -> str:
    """The fewest and the most rows of a label, where there are too many for a table."""
    parts = []
    for side, what in (("train", "train on"), ("evaluation", "score on")):
        rows = [counts[side] for counts in labels.values()]
        size = f"{min(rows):,} to {max(rows):,}" if len(set(rows)) > 1 else f"{rows[0]:,}"
        parts.append(f"{size} rows of each to {what}")
    return f"{len(labels)} labels, {', '.join(parts)}"


def _show_sample(console: Console, task: dict[str, Any]) -> None:
    console.print(
        f"{task['name']}: its first row, trained tokens in ⟦…⟧; scored by {task['metric']}"
    )
    text = Text()
    for trained, piece in task["sample"]:
        shown = _shortened(piece)
        text.append(f"⟦{shown}⟧" if trained else shown, "bold green" if trained else "dim")
    text.rstrip()
    console.print(text, end="\n\n")


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_SAMPLE:
        return text
    half = LONGEST_SAMPLE // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters more … {text[-half:]}"


def _show_places(console: Console, places: list[dict[str, Any]]) -> None:
    """A table by block and role; blocks in a row that are alike stand in one line."""
    roles = [role for role in ROLES if any(place["role"] == role for place in places)]
    table = _table(1, "parameters", *roles)
    rows = [
        (block, {place["role"]: place["entries"] for place in own})
        for block, own in groupby(places, key=lambda place: place["block"])
    ]
    for entries, alike in groupby(rows, key=lambda row: row[1]):
        blocks = [block for block, _ in alike]
        name = blocks[0] if len(blocks) == 1 else f"{blocks[0]}-{blocks[-1]}, each"
        table.add_row(_block_name(name), *_cells(entries, roles))
    table.add_section()
    total = Counter[str]()
    for place in places:
        total[place["role"]] += place["entries"]
    table.add_row("all", *_cells(total, roles))
    console.print(table)


def _block_name(name: str) -> str:
    return f"block {name}" if name[0].isdigit() else name


def _cells(entries: Mapping[str, int], roles: list[str]) -> list[str]:
    return [f"{entries[role]:,}" if entries.get(role) else "" for role in roles]


def _show_estimate(console: Console, guess: dict[str, Any], method: str) -> None:
    console.print(
        f"{guess['of']}: {guess['trained_tokens']:,} reply tokens trained by {method}, "
        f"{guess['processed_tokens_with_baselines']:,} tokens processed with the baselines: "
        f"{_duration(guess['training_seconds'])} of training on this machine as busy as it is; "
        f"memory about {_bytes(guess['memory_bytes'])} of {_bytes(guess['memory_there_bytes'])} "
        "where all weights train, less where some do not"
    )
    if guess["memory_bytes"] > guess["memory_there_bytes"]:
        console.print(f"note: that does not fit; cheapest first: {', '.join(guess['less_memory'])}")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 100 else f"about {minutes / 60:.1f} h"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
