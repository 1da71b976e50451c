"""Models of transformers' own sequence-classification class, scored as a task's head is.

Such a folder (a plain one, one that `onsa tune` exported, or a PEFT adapter for one) belongs to a
task by its labels, in whatever order it has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from onsa.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter, Tuned
from onsa.errors import InputError
from onsa.files import digest_of_json, read_json
from onsa.models.head import Head
from onsa.models.heads import PEFT_PREFIX, with_heads
from onsa.models.loading import load_checked, read_config, with_adapter
from onsa.tensor_file import read_header

CLASS = "ForSequenceClassification"
UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls a label that nobody named
MOST_NAMED = 6


@dataclass(frozen=True)
class Classifier:
    """A classifier and the task that it is scored on."""

    tuned: Tuned
    task: str
    head: Head

    @cached_property
    def digest(self) -> str:
        return digest_of_json([self.tuned.digest, self.task, asdict(self.head)])


def is_classifier(folder: Path) -> bool:
    """Whether the folder's config says so; an adapter's, whether it was trained for one."""
    if (folder / CONFIG_FILE).is_file():
        return read_json(folder / CONFIG_FILE).get("task_type") == "SEQ_CLS"
    classes = read_json(folder / "config.json").get("architectures") or []
    return any(str(name).endswith(CLASS) for name in classes)


def head_for(tuned: Tuned, wanted: Head) -> Head:
    """The classifier's head, for a task whose own would be `wanted`.

    Raises:
        InputError: its labels do not fit the task.
    """
    if isinstance(tuned, Adapter):
        return _of_adapter(tuned, wanted)
    config = read_config(tuned.folder)
    labels = tuple(str(config.id2label[number]) for number in range(config.num_labels))
    if not wanted.labels:
        _require(len(labels) == 1, tuned, f"it has {len(labels)} labels, and the task one number")
        return wanted
    _require_labels(tuned, labels, wanted.labels)
    told = config.problem_type or wanted.problem
    _require(told == wanted.problem, tuned, f"it is for {told}, and the task for {wanted.problem}")
    return Head(wanted.problem, labels)


def _of_adapter(adapter: Adapter, wanted: Head) -> Head:
    """An adapter keeps no names of labels: their number tells, and their order is the task's."""
    stored, _ = read_header(adapter.folder / WEIGHTS_FILE)
    rows = [
        each.shape[0]
        for name, each in stored.items()
        if name.endswith("weight") and re.search(r"classifier|score", name)
    ]
    found = min(rows, default=0)
    _require(found == wanted.outputs, adapter, f"it has {found} outputs, not {wanted.outputs}")
    return wanted


def _require_labels(tuned: Tuned, known: Sequence[str], wanted: Sequence[str]) -> None:
    if missing := [label for label in wanted if label not in known]:
        unnamed = all(UNNAMED.fullmatch(label) for label in known)
        raise InputError(
            f"its labels are {_named(known)}; the task has {_named(missing)}",
            where=tuned.folder,
            way_out="name them in its config.json (id2label, label2id)"
            if unnamed and len(known) == len(wanted)
            else "give the classifier of this task, or the task that this classifier is for",
        )


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return ", ".join(repr(label[:40]) for label in labels[:MOST_NAMED]) + more


def _require(fits: bool, tuned: Tuned, what: str) -> None:
    if not fits:
        raise InputError(
            what,
            where=tuned.folder,
            way_out="give the classifier of this task, or the task that this classifier is for",
        )


def _brought(adapter: Adapter) -> set[str]:
    """The parameters of the plain class that an adapter holds whole."""
    stored, _ = read_header(adapter.folder / WEIGHTS_FILE)
    return {name.removeprefix(PEFT_PREFIX) for name in stored}


def load_classifier(classifier: Classifier, dtype: torch.dtype, pad_token_id: int | None) -> Any:
    """The model, its config telling of the one head as a headed model's does.

    Raises:
        InputError: it cannot be loaded, or its weights are not all there.
    """
    from transformers import AutoModelForSequenceClassification

    tuned, head = classifier.tuned, classifier.head
    folder = tuned.base.folder if isinstance(tuned, Adapter) else tuned.folder
    config = read_config(folder)
    if isinstance(tuned, Adapter):
        config.num_labels = head.outputs
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = pad_token_id
    model, _ = load_checked(
        folder,
        False,
        kind=AutoModelForSequenceClassification,
        config=config,
        brought=_brought(tuned) if isinstance(tuned, Adapter) else (),
        dtype=dtype,
    )
    whole = with_adapter(tuned, model).to(dtype) if isinstance(tuned, Adapter) else model
    with_heads(model.config, {classifier.task: head}, False, pad_token_id)
    return whole
