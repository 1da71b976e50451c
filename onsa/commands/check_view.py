"""What `onsa check` found, for a person."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onsa.commands.check import ROLES
from onsa.language import columns, tell
from onsa.training.memory import in_bytes

MOST_LABELS = 12  # in a table
PADDING = 3  # columns of a terminal beside each column of a table, at most
LONGEST_SAMPLE = 1500  # characters that are shown of a text


def show(facts: dict[str, Any]) -> None:
    """Print the facts for a person: trained text is marked, by colour and by brackets."""
    console = Console(highlight=False, markup=False, emoji=False)
    compared = f", compared with {', '.join(facts['baselines'])}" if facts["baselines"] else ""
    console.print(tell(f"{facts['method']}{compared}, on {facts['model']['folder']}\n"))
    _show_tasks(console, facts["tasks"])
    if facts["untrained_tasks"]:
        rows = (f"{name} ({count:,} rows)" for name, count in facts["untrained_tasks"].items())
        console.print(tell(f"scored, never trained: {', '.join(rows)}\n"))
    for task in facts["tasks"]:
        _show_sample(console, task)
    for task in facts["asked"]:
        _show_asked(console, task)
    _show_places(console, facts["parameters"])
    _show_estimate(console, facts["estimate"], facts["method"])
    for note in facts["notes"]:
        console.print(tell(f"note: {note}"))


def _table(texts: int, *names: str) -> Any:
    """A table without lines: the first columns hold text, which may wrap, the others numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        head = _head(name)
        if place < texts:
            table.add_column(head, overflow="fold", min_width=8, vertical="bottom")
        else:
            table.add_column(head, justify="right", no_wrap=True, vertical="bottom")
    return table


def _head(name: str) -> str:
    """A column's name, its last word in a line of its own."""
    return "\n".join(tell(name).rsplit(" ", 1))


def _show_tasks(console: Console, tasks: list[dict[str, Any]]) -> None:
    numbers = {
        "rows to train": "train_rows",
        "an epoch": "rows_per_epoch",
        "to score": "eval_rows",
        "tokens: median": "median",
        "longest": "longest",
        "trained an epoch": "trained_tokens_per_epoch",
    }
    if all(task["rows_per_epoch"] == task["train_rows"] for task in tasks):
        del numbers["an epoch"]
    if all(task["head"] for task in tasks):
        del numbers["trained an epoch"]
    rows = [[task["kind"], *(_count(task, key) for key in numbers.values())] for task in tasks]
    others = [len(max(column, key=len)) for column in zip(*rows, strict=True)]
    heads = [max(map(columns, _head(name).split("\n"))) for name in ("kind", *numbers)]
    taken = sum(map(max, others, heads)) + PADDING * (len(others) + 1)
    table = _table(2, "task", "kind", *numbers)
    for task, row in zip(tasks, rows, strict=True):
        table.add_row(_broken(task["name"], console.width - taken), *row)
    console.print(table)
    for task in tasks:
        _show_split(console, task)


def _count(task: Mapping[str, Any], key: str) -> str:
    """A number of the table; a head trains no tokens of the row."""
    return "–" if task["head"] and key == "trained_tokens_per_epoch" else f"{task[key]:,}"


def _broken(name: str, room: int) -> str:
    """A name in lines of at most `room` columns, parted behind `_`, `-` or `.` where it can be."""
    lines = [""]
    for piece in re.findall(r"[^_.-]*[_.-]|[^_.-]+", name):
        if lines[-1] and columns(lines[-1] + piece) > room:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _show_split(console: Console, task: dict[str, Any]) -> None:
    """How the evaluation rows came about, and how often each label is on both sides."""
    if task["split"]:
        console.print(tell(f"{task['name']} is scored on {task['split']}"))
    labels = task["labels"]
    if not labels:
        return
    if len(labels) > MOST_LABELS:
        console.print(f"{task['name']}: {tell(_label_range(labels))}\n")
        return
    table = _table(1, f"{task['name']}: label", "to train", "to score")
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
    what = "what its head is to say" if task["head"] else "trained tokens"
    said = f"{task['name']}: its first row, {what} in ⟦…⟧; scored by {task['metric']}"
    console.print(tell(said))
    _show_pieces(console, task)


def _show_asked(console: Console, task: dict[str, Any]) -> None:
    """What an evaluation harness asks about the first row."""
    said = (
        f"{task['name']} ({task['kind']}) is scored by {task['metric']} on {task['split']}: "
        f"{task['requests']:,} requests, the longest of {task['longest']:,} tokens"
    )
    console.print(tell(said))
    console.print(tell(task["how"]))
    console.print(tell("its first request, what is rated or expected in ⟦…⟧:"))
    _show_pieces(console, task)


def _show_pieces(console: Console, task: dict[str, Any]) -> None:
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
    left_out = tell(f"{len(text) - 2 * half:,} characters more")
    return f"{text[:half]} … {left_out} … {text[-half:]}"


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
        table.add_row(tell(_block_name(name)), *_cells(entries, roles))
    table.add_section()
    total = Counter[str]()
    for place in places:
        total[place["role"]] += place["entries"]
    table.add_row(tell("all"), *_cells(total, roles))
    console.print(table)


def _block_name(name: str) -> str:
    return f"block {name}" if name[0].isdigit() else name


def _cells(entries: Mapping[str, int], roles: list[str]) -> list[str]:
    return [f"{entries[role]:,}" if entries.get(role) else "" for role in roles]


def _show_estimate(console: Console, guess: dict[str, Any], method: str) -> None:
    said = (
        f"{guess['of']}: {_trained(guess)} trained by {method}, "
        f"{guess['processed_tokens_with_baselines']:,} tokens processed with the baselines: "
        f"{_duration(guess['training_seconds'])} of training on this machine as busy as it is; "
        f"memory about {in_bytes(guess['memory_bytes'])} of "
        f"{in_bytes(guess['memory_there_bytes'])} where all weights train, less where some do not; "
        "scoring all rows once: "
        f"{_duration(guess['scoring_seconds'])}, about {in_bytes(guess['scoring_memory_bytes'])}"
    )
    console.print(tell(said))
    if guess["memory_bytes"] > guess["memory_there_bytes"]:
        cheaper = ", ".join(guess["less_memory"])
        console.print(tell(f"note: that does not fit; cheapest first: {cheaper}"))


def _trained(guess: Mapping[str, Any]) -> str:
    """How much is trained, in what replies or heads count by."""
    count = guess["trained_tokens"]
    if guess["trained_by"] == ["heads"]:
        return f"{count:,} rows for heads"
    if guess["trained_by"] == ["replies"]:
        return f"{count:,} reply tokens"
    return f"{count:,} reply tokens and rows for heads"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 100 else f"about {minutes / 60:.1f} h"
