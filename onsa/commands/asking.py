"""The base, asked in a better way: the best of a few prompts, chosen on training rows.

What tuning gains over a model that is merely asked well is the gain that counts.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from onsa.data.example import Example
from onsa.data.prompting import prompted
from onsa.errors import InputError
from onsa.evaluation.scoring import run_scoring
from onsa.models.base_model import position_count
from onsa.prepare.checks import check_rows
from onsa.prepare.tasks import ASKED
from onsa.recipe.prompt import Prompt
from onsa.run import Run
from onsa.tasks import Task

LABEL = "base, prompted"
LARGEST_PART = 0.5  # of the training rows that a prompt is chosen on; the others are its examples


def ask_better(run: Run) -> None:
    """Mark the base with each task's best prompt as a way to be scored; nothing is trained.

    A prompt is tried on `prompt_rows` training rows, and takes its examples from the others: no
    evaluation row has a part in the choice. Tasks with heads, and those that are scored by their
    loss, are asked as they are.
    """
    asked = [task for task in run.tasks if task.mode in ASKED]
    path, run.path = run.path, LABEL
    parts = {task.name: _parted(task, run.recipe.prompt_rows, run.recipe.seed) for task in asked}
    tried = _try_all(run, list(parts.values()))
    best = {name: _best(tried[name]) for name in parts}
    _mark(run, parts, best)
    run.find(
        chosen_prompts={
            name: {
                "prompt": best[name].told,
                "rows": len(parts[name].evaluation),
                "metric": parts[name].metric,
                "tried": [{"prompt": p.told, "mean": mean} for p, mean in tried[name].items()],
            }
            for name in parts
        }
    )
    run.path = path


def _parted(task: Task, rows: int, seed: int) -> Task:
    """Training rows alone: some in the place of evaluation rows, the others to take examples of.

    Rows of one group stay together: an example from the same passage would tell the answer.
    """
    groups: dict[str, list[Example]] = {}
    for number, row in enumerate(task.train):
        groups.setdefault(row.group or f"{number}/", []).append(row)
    order = list(groups.values())
    random.Random(f"prompts/{seed}/{task.name}").shuffle(order)
    wanted = max(1, min(rows, int(LARGEST_PART * len(task.train))))
    chosen: list[Example] = []
    while order and len(chosen) < wanted:
        chosen += order.pop()
    rest = [row for group in order for row in group]
    return dataclasses.replace(task, train=tuple(rest), evaluation=tuple(chosen[:rows]))


def _try_all(run: Run, parts: Sequence[Task]) -> dict[str, dict[Prompt, float]]:
    """The mean score of each task with each prompt that fits the model."""
    means: dict[str, dict[Prompt, float]] = {task.name: {} for task in parts}
    for number, prompt in enumerate(run.recipe.prompts_to_try, start=1):
        ready = [each for task in parts if (each := _fitting(run, task, prompt)) is not None]
        if not ready:
            continue
        found = run_scoring(run, f"score/prompts/{number}", weights=run.base, tasks=ready)
        for task in ready:
            scores = found[task.name]["scores"]
            means[task.name][prompt] = math.fsum(scores) / len(scores)
    return means


def _fitting(run: Run, task: Task, prompt: Prompt) -> Task | None:
    """The task asked by the prompt; nothing where some row has no room for it, which is said."""
    if prompt.shots and not task.train:
        return None
    made = prompted(task, **prompt.model_dump(), seed=run.recipe.seed)
    positions = position_count(run.companions, run.recipe.trust_remote_code)
    try:
        check_rows([dataclasses.replace(made, train=())], run.encoder, positions)
    except InputError as fault:
        run.warn(f"prompt left out for {task.name}: {prompt.told} ({fault.what})")
        return None
    return made


def _best(means: Mapping[Prompt, float]) -> Prompt:
    """The first of those with the best mean; the plain one where none fitted."""
    return max(means, key=lambda prompt: means[prompt], default=Prompt())


def _mark(run: Run, parts: Mapping[str, Task], best: Mapping[str, Prompt]) -> None:
    """Put every task, asked by its prompt, up to be scored on its evaluation rows."""
    tasks = []
    for task in run.tasks:
        if task.name in parts:
            own = dataclasses.replace(task, train=parts[task.name].train)
            asked = _fitting(run, own, best[task.name])
            tasks.append(dataclasses.replace(asked or task, train=task.train))
        else:
            tasks.append(task)
    first: dict[str, Any] = {task.name: list(task.evaluation[0].prompt) for task in tasks}
    run.find(prompts={**run.findings.get("prompts", {}), LABEL: first})
    run.stage("prompted", run.base, tasks)
