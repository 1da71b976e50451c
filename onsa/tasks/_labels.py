"""Labels of rows: found, numbered, and put on the rows for a head or as choices."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from onsa.data.example import Example
from onsa.data.places import named
from onsa.errors import InputError, did_you_mean
from onsa.metrics.classification import classification, multilabel
from onsa.metrics.intervals import Measures
from onsa.models.head import Head, Problem
from onsa.tasks import Mode, Rows
from onsa.tasks._files import FileSettings, load_files

SEPARATOR = ", "  # between several labels, as a head says them


class LabelSettings(FileSettings):
    """A task of rows with labels."""

    by: Literal["head", "likelihood"] = Field(
        "head", description="a new head's outputs, or how likely each label is as the reply"
    )
    labels: list[str] | None = Field(
        None, description="all of them, in their order; else those of the training file"
    )
    many: bool = Field(False, description="a row may have several labels, or none")

    @model_validator(mode="after")
    def _one_label_as_a_reply(self) -> LabelSettings:
        if self.many and self.by == "likelihood":
            raise ValueError("many has no effect with by: likelihood, which says one label")
        return self

    @property
    def mode(self) -> Mode:
        return "head" if self.by == "head" else "choose"


def load_labelled(settings: Any, base_folder: Path, seed: int) -> Rows:
    """The rows with their labels as numbers for a head, or as the choices of a reply."""
    rows = load_files(settings, base_folder, seed)
    labels = settings.labels or _labels_of(rows.whole)
    if len(labels) < 2:
        raise InputError(
            f"there is one label only ({labels[0]!r})" if labels else "no row has a label",
            where=rows.train[0].source,
            way_out="give rows with two labels or more",
        )
    problem: Problem = (
        "multi_label_classification" if settings.many else "single_label_classification"
    )
    head = Head(problem, tuple(labels)) if settings.by == "head" else None
    rows = rows._replace(notes=(*rows.notes, *_untrained(labels, rows.train)))
    return rows.changed(partial(_labelled, labels=labels, settings=settings), head)


def _untrained(labels: Sequence[str], train: Sequence[Example]) -> list[str]:
    """A sentence on the labels that no training row has: they are never said."""
    trained = {label for row in train for label in labels_of(row)}
    missing = [label for label in labels if label not in trained]
    if not missing:
        return []
    return [f"{len(missing)} of {len(labels)} labels have no training row: {named(missing)}"]


def labels_of(row: Example) -> list[str]:
    """The labels of a row, as text; its reply is one where it has none by that name."""
    label = row.extra.get("label", row.reply)
    return [str(each) for each in label] if isinstance(label, list) else [str(label)]


def _labels_of(rows: Sequence[Example]) -> list[str]:
    """All labels in a natural order: numbers by their size, words by the alphabet."""
    found = Counter(label for row in rows for label in labels_of(row))
    return sorted(found, key=lambda label: (not _is_whole(label), _number(label), label))


def _is_whole(label: str) -> bool:
    return label.isascii() and label.removeprefix("-").isdigit()


def _number(label: str) -> int:
    return int(label) if _is_whole(label) else 0


def _labelled(row: Example, labels: Sequence[str], settings: LabelSettings) -> Example:
    own = labels_of(row)
    for label in own:
        if label not in labels:
            raise InputError(
                f"the label {label[:40]!r} is none of the training file's",
                where=row.source,
                way_out=f"{did_you_mean(label, labels)}; or list all with 'labels: [...]'",
            )
    if not settings.many and len(own) != 1:
        raise InputError(
            f"{len(own)} labels", where=row.source, way_out="write 'many: true' in the task"
        )
    reply = {**row.messages[-1], "content": SEPARATOR.join(own)}
    extra = {**row.extra, "label": own if settings.many else own[0]}
    target: int | tuple[int, ...] | None = None
    if settings.by == "likelihood":
        extra["choices"] = list(labels)
    elif settings.many:
        target = tuple(int(label in own) for label in labels)
    else:
        target = labels.index(own[0])
    return dataclasses.replace(row, messages=(*row.prompt, reply), extra=extra, target=target)


def score_labels(reply: str, example: Example, settings: Any) -> float:
    """1 for the right label; of several, what is in both as a share of what is in either."""
    if not settings.many:
        return float(reply.strip() == example.extra["label"])
    said, right = set(reply.strip().split(SEPARATOR)) - {""}, set(example.extra["label"])
    return len(said & right) / len(said | right) if said | right else 1.0


def measure_labels(replies: Sequence[str], examples: Sequence[Example], settings: Any) -> Measures:
    """Precision, recall, F1 and what else there is for one label a row, or for several."""
    if not settings.many:
        return classification(*label_classes(replies, examples, settings))
    said = [set(reply.strip().split(SEPARATOR)) - {""} for reply in replies]
    return multilabel([set(row.extra["label"]) for row in examples], said, settings.labels)


def label_classes(
    replies: Sequence[str], examples: Sequence[Example], settings: Any
) -> tuple[list[str], list[str]]:
    """The true and the said label of each row; nothing where a row has several."""
    if settings.many:
        return [], []
    return [row.extra["label"] for row in examples], [reply.strip() for reply in replies]
