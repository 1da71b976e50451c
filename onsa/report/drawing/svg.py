"""The ground of the charts: escaped SVG elements, axes with round ticks, shades.

No element carries a style attribute, since the page forbids them: colours come by class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from onsa.report.scores import Metric, Score
from onsa.report.words import percent

LEVELS = 5  # shades on each side of a heat map


def element(tag: str, *children: Markup | str, **attributes: str | float | None) -> Markup:
    """One SVG element with everything in it escaped; `class_` and `text_anchor` as in Python."""
    words = []
    for name, value in attributes.items():
        if value is not None:
            name = name.rstrip("_").replace("_", "-")
            words.append(f' {name}="{escape(coordinate(value))}"')
    inside = Markup("").join(children)
    return Markup(f"<{tag}{''.join(words)}>") + inside + Markup(f"</{tag}>")


def coordinate(value: str | float) -> str:
    if isinstance(value, str):
        return value
    assert math.isfinite(value), "a chart was given a number that is not finite"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def share(value: float) -> str:
    return f"{coordinate(100 * value)}%"


def picture(description: str, *children: Markup, **attributes: str | float | None) -> Markup:
    """An `svg` that says what it shows; screen readers read the description instead."""
    title = element("title", description)
    return element("svg", title, *children, role="img", aria_label=description, **attributes)


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers with its ticks; `place` is 0 at one end of the chart, 1 at the other."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_reversed: bool = False

    @classmethod
    def over(
        cls, values: Iterable[float], *, intervals: int = 4, is_reversed: bool = False
    ) -> Axis:
        """Round ends and at most about `intervals` round steps over the values."""
        found = list(values) or [0.0, 1.0]
        low, high = min(found), max(found)
        if high - low < 1e-9 * max(1.0, abs(high)):
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        step = round_step((high - low) / intervals)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(step * index for index in range(first, last + 1))
        return cls(ticks[0], ticks[-1], ticks, is_reversed)

    def place(self, value: float) -> float:
        position = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return 1 - position if self.is_reversed else position


def round_step(smallest: float) -> float:
    """The least of 1, 2, 2.5, 5, 10 × a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(smallest))
    return next(power * step for step in (1, 2, 2.5, 5, 10, 20) if power * step >= smallest * 0.999)


def score_axis(metric: Metric, scores: Iterable[Score], *, from_zero: bool) -> Axis:
    """An axis over scores with their intervals, on which the better end is always at 1."""
    reach = [end for score in scores for end in score.reach]
    if from_zero:
        reach = [min(1.0, max(0.0, end)) for end in reach] + [0.0, max([0.04, *reach])]
    return Axis.over(reach, is_reversed=not metric.higher_is_better)


def tick_text(metric: Metric, value: float, axis: Axis) -> str:
    if metric.is_share:
        return percent(value, 0 if round(100 * value, 6).is_integer() else 1)
    step = abs(axis.ticks[1] - axis.ticks[0])
    return f"{value:.{max(0, math.ceil(-math.log10(step) - 1e-9) + (step < 1))}f}".replace("-", "−")


def shade(value: float, largest: float) -> str:
    """`gain-3`, `loss-1`, or nothing for about zero."""
    level = round(LEVELS * abs(value) / largest) if largest > 0 else 0
    if level == 0:
        return ""
    return f"{'gain' if value > 0 else 'loss'}-{min(LEVELS, level)}"
