"""How long rows are: exact quantiles and a histogram out of counts, in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from onsa.inspection.records import Record

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
BINS = 24
LONGEST_NAMED = 3
FINE = 4096  # longer lengths are counted to 3 digits, so that few counts are kept


class Lengths:
    """Lengths of rows in one unit (`characters`, `tokens`)."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.counts: Counter[int] = Counter()
        self.total = 0
        self.longest: list[tuple[int, str]] = []

    def add(self, length: int, source: str) -> None:
        self.counts[length if length < FINE else rounded(length)] += 1
        self.total += length
        if len(self.longest) < LONGEST_NAMED or length > self.longest[-1][0]:
            self.longest.append((length, source))
            self.longest.sort(key=lambda entry: -entry[0])
            del self.longest[LONGEST_NAMED:]

    def look(self, record: Record) -> None:
        if not record.fault:
            self.add(sum(map(len, record.texts)), record.source)

    def facts(self) -> dict[str, Any] | None:
        rows = sum(self.counts.values())
        if rows == 0:
            return None
        levels = quantiles(self.counts, QUANTILES)
        levels[-1] = self.longest[0][0]
        return {
            "unit": self.unit,
            "rows": rows,
            "total": self.total,
            "mean": self.total / rows,
            "quantiles": dict(zip((f"{share:g}" for share in QUANTILES), levels, strict=True)),
            "histogram": histogram(self.counts),
            "longest": [{"length": length, "source": source} for length, source in self.longest],
        }


def rounded(length: int) -> int:
    """`length` to 3 digits."""
    step = 10 ** (len(str(length)) - 3)
    return round(length / step) * step


def quantiles(counts: Counter[int], shares: Iterable[float]) -> list[int]:
    """For each share the least length that so many of the rows do not exceed."""
    lengths = sorted(counts)
    sums = list(accumulate(counts[length] for length in lengths))
    found = []
    for share in shares:
        needed = max(1, math.ceil(share * sums[-1] - 1e-9))
        found.append(lengths[bisect_left(sums, needed)])
    return found


def histogram(counts: Counter[int]) -> list[dict[str, int]]:
    """Rows by length in bins of equal width up to the 99 % quantile; the last holds the rest."""
    top = quantiles(counts, (0.99,))[0]
    width = max(1, math.ceil((top + 1) / BINS))
    bins: Counter[int] = Counter()
    for length, count in counts.items():
        bins[min(length // width, BINS)] += count
    last = max(bins)
    return [
        {"from": place * width, "to": (place + 1) * width - 1, "rows": bins[place]}
        for place in range(last + 1)
    ]
