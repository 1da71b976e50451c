"""Texts with a label, or several: said by a new head, or by how likely each label is as a reply."""

from __future__ import annotations

from onsa.tasks import Kind
from onsa.tasks._labels import (
    LabelSettings,
    label_classes,
    load_labelled,
    measure_labels,
    score_labels,
)

KIND = Kind(
    name="classify",
    summary="The label must be the right one; of several labels, their Jaccard index.",
    settings=LabelSettings,
    load=load_labelled,
    metric="accuracy",
    mode="head",
    score=score_labels,
    measures=measure_labels,
    classes=label_classes,
    lower_is_better=frozenset({"Hamming loss"}),
)
