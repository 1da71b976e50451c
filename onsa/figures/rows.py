"""`rows.json`: every scored row of a run, what two runs are held against each other by.

A row is known by what is asked and what is right, not by its file or by the system message that
stands before it, so that runs with other settings still find the rows they have in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onsa.files import digest_of_json, write_json

if TYPE_CHECKING:
    from onsa.data.example import Example
    from onsa.tasks import Task

FILE = "rows.json"
MOST_TRAINING_ROWS = 200_000  # of a task, that are kept by their digests; of more, their number
DIGITS = 16  # of a digest; two of a million rows are alike by chance once in 10⁷ runs

Found = Mapping[str, Mapping[str, Any]]  # by task: scores and replies


def row_digest(example: Example) -> str:
    asked = [
        [message["role"], message["content"]]
        for message in example.messages
        if message["role"] != "system"
    ]
    own = [example.extra.get(key) for key in ("texts", "rejected")]
    return digest_of_json([asked, own])[:DIGITS]


def row_digests(examples: Sequence[Example]) -> list[str]:
    """A digest for each, the second of two equal rows told apart from the first."""
    seen: Counter[str] = Counter()
    digests = []
    for example in examples:
        digest = row_digest(example)
        digests.append(f"{digest}.{seen[digest]}" if seen[digest] else digest)
        seen[digest] += 1
    return digests


def write_rows(
    folder: Path, tasks: Sequence[Task], found: Mapping[str, Mapping[int, Found]]
) -> None:
    """Keep the rows of the tasks and, by label and seed, what was said of each."""
    by_name = {task.name: task for task in tasks}
    scores = {
        label: {
            str(seed): {name: _said(by_name[name], each) for name, each in by_task.items()}
            for seed, by_task in by_seed.items()
        }
        for label, by_seed in found.items()
    }
    write_json(folder / FILE, {"tasks": {t.name: _task(t) for t in tasks}, "scores": scores})


def _said(task: Task, found: Mapping[str, Any]) -> dict[str, Any]:
    return {"scores": found["scores"], "replies": task.shown(found["replies"])}


def _task(task: Task) -> dict[str, Any]:
    known = len(task.train) <= MOST_TRAINING_ROWS
    return {
        "metric": task.metric,
        "mode": task.told_mode,
        "higher_is_better": task.higher_is_better,
        "train": row_digests(task.train) if known else None,
        "train_rows": len(task.train),
        "evaluation": [
            {
                "digest": digest,
                "source": row.source,
                "group": row.group,
                "prompt": row.prompt[-1]["content"],
                "reference": row.reply,
            }
            for digest, row in zip(row_digests(task.evaluation), task.evaluation, strict=True)
        ],
    }
