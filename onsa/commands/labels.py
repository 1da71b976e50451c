"""Short names for models and runs that a user names by their folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onsa.report.words import NAMES


def labels_for(named: Sequence[str]) -> list[str]:
    """A short name for each, its own and none that the report gives a meaning to."""
    parts = [Path(name).absolute().parts for name in named]
    labels: list[str] = []
    for number, own in enumerate(parts):
        depth = 2 if own[-1] == "model" and len(own) > 2 else 1
        label = "/".join(own[-depth:])
        while depth < len(own) and (
            label in NAMES
            or label in ("single", "specialists")
            or any(label == "/".join(o[-depth:]) for n, o in enumerate(parts) if n != number)
        ):
            depth += 1
            label = "/".join(own[-depth:])
        labels.append(label)
    return labels
