"""Charts as inline SVG, made without a plotting library.

Strips place their marks in per cent of the width, so that they stretch while their text does not;
panels are small drawings of a fixed shape. Whatever is drawn also stands in a table or a tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from onsa.language import tell
from onsa.report.drawing.svg import Axis, coordinate, element, picture, share, tick_text
from onsa.report.scores import Metric, Score
from onsa.report.words import scaled, short_told_name, thinned

Point = tuple[float, float]

PANEL_WIDTH, PANEL_HEIGHT = 260, 150
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 8, 24  # room for the ticks of a panel
ROW_HEIGHT = 17  # of one model in a strip
MOST_POINTS = 200  # in one loss curve; more cannot be seen

# Shapes beside colours, so that the models stay apart without colour; drawn around (0, 0).
SHAPES = {
    "base": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    "result": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    "baseline": "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
    "reference": "M-4.2 -4.2H4.2V4.2H-4.2z",
}


@dataclass(frozen=True)
class Mark:
    """One model in a strip: its label, its look (`base`, `baseline-1`, ...) and its score."""

    label: str
    look: str
    score: Score


def score_strip(task: str, metric: Metric, marks: Sequence[Mark], axis: Axis) -> Markup:
    """Dot and whisker for each model, one below the other; better is to the right."""
    texts = [f"{short_told_name(m.label)} {metric.full_text(m.score)}" for m in marks]
    height = ROW_HEIGHT * len(marks)
    rows = [strip_ticks(metric, axis, height)]
    for index, (mark, text) in enumerate(zip(marks, texts, strict=True)):
        rows.append(strip_row(mark, text, axis, ROW_HEIGHT * (index + 0.5) + 2))
    description = f"{task}, {metric.direction}: {'; '.join(texts)}"
    return picture(description, *rows, class_="strip", width="100%", height=height + 22.0)


def mark_strip(metric: Metric, mark: Mark, axis: Axis) -> Markup:
    """One model's dot and whisker alone, in a row of a table whose rows share an axis."""
    text = f"{short_told_name(mark.label)} {metric.full_text(mark.score)}"
    lines = [
        element("line", x1=x, x2=x, y1=0, y2=ROW_HEIGHT + 4, class_="grid")
        for x in (share(inset(axis.place(tick))) for tick in axis.ticks)
    ]
    row = strip_row(mark, text, axis, ROW_HEIGHT * 0.5 + 2)
    return picture(text, *lines, row, class_="strip", width="100%", height=ROW_HEIGHT + 4.0)


def inset(position: float) -> float:
    """Marks at the ends of a strip must not be cut off."""
    return 0.02 + 0.96 * position


def strip_ticks(metric: Metric, axis: Axis, height: float) -> Markup:
    parts = []
    for tick in axis.ticks:
        position = axis.place(tick)
        x = share(inset(position))
        parts.append(element("line", x1=x, x2=x, y1=0, y2=height + 4, class_="grid"))
        anchor = "start" if position == 0 else "end" if position == 1 else "middle"
        edge = x if 0 < position < 1 else share(position)
        text = tick_text(metric, tick, axis)
        parts.append(
            element("text", text, x=edge, y=height + 17, text_anchor=anchor, class_="tick")
        )
    return Markup("").join(parts)


def strip_row(mark: Mark, text: str, axis: Axis, y: float) -> Markup:
    parts = [element("title", text)]
    if mark.score.interval is not None:
        ends = [share(inset(axis.place(end))) for end in mark.score.interval]
        parts.append(element("line", x1=ends[0], x2=ends[1], y1=y, y2=y, class_="whisker"))
    x = share(inset(axis.place(mark.score.mean)))
    parts.append(element("svg", symbol(mark.look), x=x, y=y, overflow="visible"))
    return element("g", *parts, class_=f"mark {mark.look}")


def symbol(look: str) -> Markup:
    return element("path", d=SHAPES.get(look.split("-")[0], SHAPES["reference"]), class_="symbol")


def key(look: str) -> Markup:
    """The mark alone, for a legend."""
    drawn = element("g", symbol(look), class_=f"mark {look}")
    return element(
        "svg", drawn, viewBox="-7 -7 14 14", width=14, height=14, class_="key", aria_hidden="true"
    )


@dataclass(frozen=True)
class Plane:
    """Where numbers lie in a panel: x from left to right, y upwards."""

    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> Point:
        width, height = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM
        return LEFT + width * self.x.place(x), TOP + height * (1 - self.y.place(y))

    def line(self, points: Sequence[Point], class_: str) -> Markup:
        places = [self.at(*point) for point in points]
        drawn = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in places)
        return element("polyline", points=drawn, class_=f"line {class_}")

    def rule(self, y: float, class_: str) -> Markup:
        (x1, height), (x2, _) = self.at(self.x.low, y), self.at(self.x.high, y)
        return element("line", x1=x1, x2=x2, y1=height, y2=height, class_=class_)

    def frame(self, x_texts: dict[float, str], y_texts: dict[float, str]) -> Markup:
        parts = []
        for tick, text in y_texts.items():
            x, y = self.at(self.x.low, tick)
            parts.append(self.rule(tick, "grid"))
            parts.append(element("text", text, x=x - 6, y=y + 4, text_anchor="end", class_="tick"))
        for tick, text in x_texts.items():
            x, _ = self.at(tick, self.y.low)
            y = PANEL_HEIGHT - 7.0
            parts.append(element("text", text, x=x, y=y, text_anchor="middle", class_="tick"))
        return Markup("").join(parts)


def panel(description: str, *children: Markup) -> Markup:
    return picture(
        description, *children, viewBox=f"0 0 {PANEL_WIDTH} {PANEL_HEIGHT}", class_="panel"
    )


@dataclass(frozen=True)
class Stop:
    """A task's score at one stage; a branch (a probe) does not lie on the way to the result."""

    place: int
    label: str
    score: Score
    is_branch: bool = False


def stage_panel(
    task: str, metric: Metric, stops: Sequence[Stop], axis: Axis, level: Mark | None
) -> Markup:
    """A task's score from stage to stage, upwards for the better, and a level to compare with."""
    places = [stop.place for stop in stops]
    plane = Plane(Axis(min(places) - 0.5, max(places) + 0.5, ()), axis)
    y_texts = {tick: tick_text(metric, tick, axis) for tick in axis.ticks}
    stride = 1 if len(places) <= 10 else 2
    parts = [plane.frame({float(place): str(place) for place in places[::stride]}, y_texts)]
    said = [f"{stop.place} {tell(stop.label)} {metric.full_text(stop.score)}" for stop in stops]
    if level is not None:
        text = f"{short_told_name(level.label)} at its end {metric.text(level.score.mean)}"
        parts.append(element("g", element("title", text), plane.rule(level.score.mean, "level")))
        said.append(text)
    way = [(float(stop.place), stop.score.mean) for stop in stops if not stop.is_branch]
    parts.append(plane.line(way, "result"))
    parts += [stage_mark(plane, stop, text) for stop, text in zip(stops, said, strict=False)]
    return panel(f"{task} by stage, {metric.direction}: {'; '.join(said)}", *parts)


def stage_mark(plane: Plane, stop: Stop, text: str) -> Markup:
    x, y = plane.at(stop.place, stop.score.mean)
    parts = [element("title", text)]
    if stop.score.interval is not None:
        ends = [plane.at(stop.place, end)[1] for end in stop.score.interval]
        parts.append(element("line", x1=x, x2=x, y1=ends[0], y2=ends[1], class_="whisker"))
    parts.append(element("circle", cx=x, cy=y, r=4, class_="symbol"))
    return element("g", *parts, class_="mark base" if stop.is_branch else "mark result")


def loss_panel(label: str, curves: dict[str, list[Point]], colours: dict[str, int]) -> Markup:
    """Loss against trained tokens, one line for each task."""
    points = [point for curve in curves.values() for point in curve]
    x = Axis.over([0.0, *(point[0] for point in points)], intervals=3)
    y = Axis.over([point[1] for point in points])
    plane = Plane(x, y)
    loss = Metric("loss", higher_is_better=False, is_share=False)
    y_texts = {tick: tick_text(loss, tick, y) for tick in y.ticks}
    parts = [plane.frame({tick: scaled(tick) for tick in x.ticks}, y_texts)]
    said = []
    for task, curve in curves.items():
        said.append(f"{task} {loss.text(curve[0][1])} to {loss.text(curve[-1][1])}")
        drawn = plane.line(thinned(curve, MOST_POINTS), f"task-{colours.get(task, 0)}")
        parts.append(element("g", element("title", said[-1]), drawn))
    return panel(f"Loss against trained tokens, {label}: {'; '.join(said)}", *parts)


def way_panel(
    label: str,
    metric: Metric,
    ways: dict[str, list[Point]],
    colours: dict[str, int],
    kept: float,
) -> Markup:
    """Scores against optimizer steps, one line for each task, and the step that was kept."""
    points = [point for way in ways.values() for point in way]
    x = Axis.over([0.0, *(point[0] for point in points)], intervals=3)
    y = Axis.over([point[1] for point in points])
    plane = Plane(x, y)
    y_texts = {tick: tick_text(metric, tick, y) for tick in y.ticks}
    parts = [plane.frame({tick: scaled(tick) for tick in x.ticks}, y_texts)]
    (across, low), (_, high) = plane.at(kept, y.low), plane.at(kept, y.high)
    parts.append(element("line", x1=across, x2=across, y1=low, y2=high, class_="level"))
    said = []
    for task, way in ways.items():
        best = next((value for step, value in way if step == kept), None)
        said.append(f"{task} {metric.text(way[0][1])} at first, {metric.text(best)} kept")
        drawn = plane.line(thinned(way, MOST_POINTS), f"task-{colours.get(task, 0)}")
        parts.append(element("g", element("title", said[-1]), drawn))
    return panel(f"Scores by step, {label}: {'; '.join(said)}", *parts)


def angle_panel(role: str, angles: Sequence[Point], chosen: Sequence[float]) -> Markup:
    """The angle of each block in milliradians, from the lowest block up; dots are what trains."""
    x = Axis(angles[0][0] - 0.5, angles[-1][0] + 0.5, ())
    y = Axis.over([0.0, *(angle for _, angle in angles)])
    plane = Plane(x, y)
    plain = Metric("mrad", is_share=False)
    stride = max(1, math.ceil(len(angles) / 8))
    x_texts = {block: coordinate(block) for block, _ in angles[::stride]}
    parts = [plane.frame(x_texts, {tick: tick_text(plain, tick, y) for tick in y.ticks})]
    parts.append(plane.line(angles, "result"))
    for block, angle in angles:
        across, up = plane.at(block, angle)
        said = f"block {block:.0f}: {angle:.3g} mrad{', trains' if block in chosen else ''}"
        dot = element("circle", cx=across, cy=up, r=4 if block in chosen else 2, class_="symbol")
        look = "result" if block in chosen else "base"
        parts.append(element("g", element("title", said), dot, class_=f"mark {look}"))
    trained = ", ".join(coordinate(block) for block in chosen) or "none"
    largest = max(angle for _, angle in angles)
    return panel(f"{role}: angles up to {largest:.3g} mrad; trained blocks {trained}", *parts)


def stacked_bar(parts: Sequence[tuple[str, float, str]]) -> Markup:
    """Counts side by side as (name, count, look): what they add up to is the whole width."""
    total = sum(amount for _, amount, _ in parts) or 1.0
    drawn, start = [], 0.0
    for name, amount, look in parts:
        if amount > 0:
            title = element("title", f"{name}: {amount:,.0f}")
            box = element(
                "rect", x=share(start / total), y=0, width=share(amount / total), height=14
            )
            drawn.append(element("g", title, box, class_=f"part {look}"))
            start += amount
    description = ", ".join(f"{name} {amount:,.0f}" for name, amount, _ in parts)
    return picture(description, *drawn, class_="bar", width="100%", height=14)


@dataclass(frozen=True)
class Cell:
    """One box of a core map: a block of the model, a level from 0 to 5, and its tooltip."""

    place: int
    level: int
    text: str


def core_strip(role: str, cells: Sequence[Cell], blocks: int) -> Markup:
    """One row of a core map: how dense the core lies in this role's tensors, block by block."""
    width = 1 / max(1, blocks)
    drawn = []
    for cell in cells:
        box = element(
            "rect", x=share(cell.place * width), y=0, width=share(width * 0.94), height=18
        )
        drawn.append(element("g", element("title", cell.text), box, class_=f"dense-{cell.level}"))
    return picture(f"{role} by block", *drawn, class_="strip", width="100%", height=18)


def core_axis(blocks: Sequence[str]) -> Markup:
    """The blocks' numbers below a core map, as many as there is room for."""
    width = 1 / max(1, len(blocks))
    numbered = [index for index, block in enumerate(blocks) if block.isdigit()]
    stride = max(1, math.ceil(len(numbered) / 8))
    drawn = []
    for index in numbered[::stride]:
        x = share((index + 0.47) * width)
        drawn.append(element("text", blocks[index], x=x, y=12, text_anchor="middle", class_="tick"))
    return element("svg", *drawn, class_="strip", width="100%", height=16, aria_hidden="true")
