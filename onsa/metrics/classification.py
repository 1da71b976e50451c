"""Accuracy, precision, recall and F1 of labels, one or several for each row.

Counts are by class: rows of it (support), replies that name it, and both at once (hits). Precision
is hits / named, recall hits / support, F1 2 hits / (named + support). *Macro* is the mean over
classes, *micro* the same quotient of the summed counts. A quotient without a denominator is 0 in a
mean, as in scikit-learn, and None in the table by class; a class that neither occurs nor is named
is no part of a mean. It is counting and no more: numpy does, so the core needs no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onsa.metrics.intervals import Measures, Rows

Counts = NDArray[np.float64]


def classification_measures(
    truth: Sequence[str], found: Sequence[str], labels: Sequence[str] | None = None
) -> dict[str, float]:
    """All figures of `classification` over all rows."""
    return classification(truth, found, labels)(np.arange(len(truth)))


def multilabel_measures(
    truth: Sequence[Set[str]], found: Sequence[Set[str]], labels: Sequence[str] | None = None
) -> dict[str, float]:
    """All figures of `multilabel` over all rows."""
    return multilabel(truth, found, labels)(np.arange(len(truth)))


def classification(
    truth: Sequence[str], found: Sequence[str], labels: Sequence[str] | None = None
) -> Measures:
    """Accuracy, and precision, recall and F1 of `labels`, macro and micro.

    Without `labels` every label counts that occurs or was replied. With them, another reply (a
    generated one that names no class) is a miss of the true class and otherwise no class itself.
    """
    assert len(truth) == len(found) > 0, "a label and a reply for each row"
    classes = _numbered(sorted({*truth, *found}) if labels is None else labels)
    wanted, given = _numbers(truth, classes), _numbers(found, classes)
    equal = np.array([a == b for a, b in zip(truth, found, strict=True)])

    def measure(rows: Rows) -> dict[str, float]:
        true, said, hit = wanted[rows], given[rows], equal[rows]
        counts = [_count(each, len(classes)) for each in (true[hit], said, true)]
        return {"accuracy": float(hit.mean()), **_means(*counts)}

    return Measures(measure)


def multilabel(
    truth: Sequence[Set[str]], found: Sequence[Set[str]], labels: Sequence[str] | None = None
) -> Measures:
    """Exact match, Hamming loss, and precision, recall and F1, where a row has many labels.

    The Hamming loss is the share of wrong entries in the table rows x labels, as in scikit-learn:
    it depends on how many labels there are.
    """
    assert len(truth) == len(found) > 0, "labels and a reply for each row"
    classes = _numbered(sorted(set().union(*truth, *found)) if labels is None else labels)
    wanted, given = _table(truth, classes), _table(found, classes)
    equal = np.array([set(a) == set(b) for a, b in zip(truth, found, strict=True)], np.float64)

    def measure(rows: Rows) -> dict[str, float]:
        times = np.bincount(rows, minlength=len(equal)).astype(np.float64)
        hits, named, support = (times @ each for each in (wanted * given, given, wanted))
        wrong = float((named + support - 2 * hits).sum())
        return {
            "exact match": float(equal[rows].mean()),
            "Hamming loss": wrong / (len(rows) * max(1, len(classes))),
            **_means(hits, named, support),
        }

    return Measures(measure)


def per_class(
    truth: Sequence[str], found: Sequence[str], labels: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """A row for each class: `label`, `precision`, `recall`, `f1` (None where undefined), `support`
    and `named`."""
    classes = _numbered(sorted({*truth, *found}) if labels is None else labels)
    wanted, given = _numbers(truth, classes), _numbers(found, classes)
    hits = _count(wanted[wanted == given], len(classes))
    named, support = _count(given, len(classes)), _count(wanted, len(classes))
    return [
        {
            "label": label,
            "precision": _quotient(hits[at], named[at]),
            "recall": _quotient(hits[at], support[at]),
            "f1": _quotient(2 * hits[at], named[at] + support[at]),
            "support": int(support[at]),
            "named": int(named[at]),
        }
        for label, at in classes.items()
    ]


def confusion(
    truth: Sequence[str], found: Sequence[str], labels: Sequence[str]
) -> NDArray[np.intp]:
    """How often each label (row) was taken for each (column); others than `labels` do not count."""
    classes = _numbered(labels)
    wanted, given = _numbers(truth, classes), _numbers(found, classes)
    known = (wanted >= 0) & (given >= 0)
    size = len(classes)
    pairs = np.bincount(wanted[known] * size + given[known], minlength=size * size)
    return pairs.reshape(size, size)


def _numbered(labels: Sequence[str]) -> dict[str, int]:
    return {label: number for number, label in enumerate(dict.fromkeys(labels))}


def _numbers(labels: Sequence[str], classes: dict[str, int]) -> Rows:
    return np.array([classes.get(label, -1) for label in labels], np.intp)


def _count(numbers: Rows, size: int) -> Counts:
    return np.bincount(numbers[numbers >= 0], minlength=size).astype(np.float64)


def _table(rows: Sequence[Set[str]], classes: dict[str, int]) -> Counts:
    table = np.zeros((len(rows), len(classes)))
    for number, labels in enumerate(rows):
        table[number, [classes[label] for label in labels if label in classes]] = 1
    return table


def _means(hits: Counts, named: Counts, support: Counts) -> dict[str, float]:
    occurs = named + support > 0
    each = {
        "precision": (hits, named),
        "recall": (hits, support),
        "F1": (2 * hits, named + support),
    }
    found = {}
    for name, (above, below) in each.items():
        quotients = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        found[f"{name} macro"] = float(quotients[occurs].mean()) if occurs.any() else 0.0
        found[f"{name} micro"] = _quotient(above.sum(), below.sum()) or 0.0
    return found


def _quotient(above: float, below: float) -> float | None:
    return float(above / below) if below else None
