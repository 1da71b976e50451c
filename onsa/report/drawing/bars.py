"""Counts as bars: a histogram in a panel, and a bar in a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from onsa.report.drawing.charts import Plane, panel
from onsa.report.drawing.svg import Axis, element, picture, share
from onsa.report.words import count, plural, scaled

BAR_HEIGHT = 14


class Bin(NamedTuple):
    """Rows whose length is from `low` to `high`; the last bin of a histogram has no upper end."""

    low: int
    high: int
    rows: int


def histogram_panel(unit: str, bins: Sequence[Bin], is_open: bool) -> Markup:
    """How many rows have which length; `is_open`: the last bin holds all longer ones too."""
    x = Axis(float(bins[0].low), float(bins[-1].high + 1), ())
    y = Axis.over([0.0, *(float(each.rows) for each in bins)], intervals=3)
    plane = Plane(x, y)
    ticks = [tick for tick in Axis.over([x.low, x.high], intervals=3).ticks if tick <= x.high]
    x_texts = {tick: scaled(tick) for tick in ticks}
    y_texts = {tick: scaled(tick) for tick in y.ticks if tick.is_integer()}
    drawn = [plane.frame(x_texts, y_texts)]
    for place, each in enumerate(bins):
        last = is_open and place == len(bins) - 1
        reach = f"{each.low:,} or more" if last else f"{each.low:,} to {each.high:,}"
        text = f"{reach} {unit}: {plural(each.rows, 'row')}"
        drawn.append(_box(plane, each, text, "rest" if last else "kept"))
    largest = max(bins, key=lambda each: each.rows)
    description = f"Rows by {unit}; most rows have {largest.low:,} to {largest.high:,}"
    return panel(description, *drawn)


def _box(plane: Plane, each: Bin, text: str, look: str) -> Markup:
    (left, top), (right, bottom) = plane.at(each.low, each.rows), plane.at(each.high + 1, 0)
    box = element("rect", x=left, y=top, width=max(0.5, right - left), height=bottom - top)
    return element("g", element("title", text), box, class_=f"part {look}")


def count_bar(name: str, rows: int, largest: int, look: str = "kept") -> Markup:
    """A bar as long as its share of the largest count."""
    text = f"{name}: {count(rows)}"
    width = share(rows / largest if largest else 0.0)
    box = element("rect", x=0, y=0, width=width, height=BAR_HEIGHT)
    drawn = element("g", element("title", text), box, class_=f"part {look}")
    return picture(text, drawn, class_="bar", width="100%", height=BAR_HEIGHT)
