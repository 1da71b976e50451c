"""How often each label, letter or short reply is the answer."""

from __future__ import annotations

from collections import Counter
from typing import Any

from onsa.inspection.records import Record

MOST_LABELS = 1000  # counted; with more of them replies are texts, not labels
LONGEST_LABEL = 60  # characters
LEAST_ROWS = 4  # for each label on average, where nothing but the replies says that they are labels


class Labels:
    """Counts of the labels that rows name, or of the replies as long as they look like labels."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.rows = 0
        self.are_named = False
        self.is_open = False  # too many, or too long, to be labels

    def look(self, record: Record) -> None:
        for example in record.examples if not self.is_open else ():
            named = example.extra.get("label", example.extra.get("answer"))
            self.are_named = self.are_named or named is not None
            for label in named if isinstance(named, list) else [named]:
                self._count(example.reply if label is None else str(label))
            self.rows += 1

    def _count(self, label: str) -> None:
        self.counts[label.strip()] += 1
        if len(label) > LONGEST_LABEL or len(self.counts) > MOST_LABELS:
            self.is_open = True
            self.counts.clear()

    def facts(self) -> dict[str, Any] | None:
        """The labels, the most frequent first; None where replies are no labels."""
        if not self.counts or self.is_open:
            return None
        if not self.are_named and self.rows < LEAST_ROWS * len(self.counts):
            return None
        counts = self.counts.most_common()
        return {
            "rows": self.rows,
            "labels": dict(counts),
            "imbalance": counts[0][1] / counts[-1][1],  # most frequent to least frequent
        }
