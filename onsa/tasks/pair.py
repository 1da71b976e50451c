"""Two texts with a label: does one follow from the other, do they mean the same?"""

from __future__ import annotations

from pathlib import Path

from onsa.errors import InputError
from onsa.tasks import Kind, Rows
from onsa.tasks._labels import (
    LabelSettings,
    label_classes,
    load_labelled,
    measure_labels,
    score_labels,
)


def load(settings: LabelSettings, base_folder: Path, seed: int) -> Rows:
    rows = load_labelled(settings, base_folder, seed)
    for row in (*rows.train, *rows.evaluation):
        if len(row.texts) != 2:
            raise InputError(
                "the row has no second text",
                where=row.source,
                way_out="give both with 'columns: {text: [first, second], label: ...}', or "
                "choose kind 'classify'",
            )
    return rows


KIND = Kind(
    name="pair",
    summary="The label of two texts must be the right one.",
    settings=LabelSettings,
    load=load,
    metric="accuracy",
    mode="head",
    score=score_labels,
    measures=measure_labels,
    classes=label_classes,
    lower_is_better=frozenset({"Hamming loss"}),
)
