"""Quality against cost: a point for each way of tuning, and the front that no other way beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from onsa.language import columns
from onsa.report.drawing.charts import symbol
from onsa.report.drawing.svg import Axis, coordinate, element, picture, score_axis, tick_text
from onsa.report.scores import Metric, Score

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 20, 14, 30
LETTER = 6.2  # width of one, about
LINE = 12
# Where a label may stand beside its point: right, left, above, below.
PLACES = ((9, 4, "start"), (-9, 4, "end"), (0, -9, "middle"), (0, 17, "middle"))


@dataclass(frozen=True)
class Point:
    """One way: its name, its look, what it cost, how good it is."""

    label: str
    look: str
    cost: float
    score: Score
    on_front: bool


@dataclass(frozen=True)
class Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        beside = self.right < other.left or other.right < self.left
        return not beside and not (self.bottom < other.top or other.bottom < self.top)


def scatter(
    name: str, points: Sequence[Point], metric: Metric, cost_text: Callable[[float], str]
) -> Markup:
    """Cost to the right, by powers of ten, nothing at the left end; quality upwards."""
    y = score_axis(metric, [point.score for point in points], from_zero=True)
    place_of = cost_scale([point.cost for point in points])
    found = [(point, (place_of(point.cost), height_of(y, point.score.mean))) for point in points]
    drawn = [frame(y, metric, [point.cost for point in points], place_of, cost_text)]
    drawn.append(front_line([place for point, place in found if point.on_front]))
    taken = [Box(x - 6, top - 6, x + 6, top + 6) for _, (x, top) in found]
    said = []
    for point, (x, top) in found:
        said.append(f"{point.label} {metric.full_text(point.score)}, {cost_text(point.cost)}")
        ends = [height_of(y, end) for end in point.score.reach]
        drawn.append(mark(point, x, top, ends, said[-1]))
        drawn.append(label(point.label, x, top, taken))
    description = f"Quality against {name}: {'; '.join(said)}"
    return picture(description, *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="panel scatter")


def height_of(axis: Axis, value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - axis.place(value))


def cost_scale(costs: Sequence[float]) -> Callable[[float], float]:
    """Where a cost lies: by its logarithm; a cost of nothing at the left end."""
    powers = [math.log10(cost) for cost in costs if cost > 0] or [0.0]
    low, high = min(powers), max(powers)
    margin = 0.15 * (high - low) or 0.5
    # Room at the left for those that cost nothing.
    free = 50 if any(cost <= 0 for cost in costs) else 0
    axis = Axis(low - margin, high + margin, ())

    def place(cost: float) -> float:
        if cost <= 0:
            return LEFT + 14
        width = WIDTH - LEFT - RIGHT - free
        return LEFT + free + width * axis.place(math.log10(cost))

    return place


def frame(
    y: Axis,
    metric: Metric,
    costs: Sequence[float],
    place_of: Callable[[float], float],
    cost_text: Callable[[float], str],
) -> Markup:
    parts = []
    for tick in y.ticks:
        top = height_of(y, tick)
        text = tick_text(metric, tick, y)
        parts.append(element("line", x1=LEFT, x2=WIDTH - 4, y1=top, y2=top, class_="grid"))
        parts.append(element("text", text, x=LEFT - 6, y=top + 4, text_anchor="end", class_="tick"))
    last = -math.inf
    for cost in sorted(set(costs)):
        text = cost_text(cost) if cost > 0 else "none"
        half = LETTER * columns(text) / 2
        x = min(max(place_of(cost), LEFT + half), WIDTH - half)
        if x - half > last:
            last = x + half + 8
            parts.append(
                element("text", text, x=x, y=HEIGHT - 10, text_anchor="middle", class_="tick")
            )
    return Markup("").join(parts)


def front_line(places: Sequence[tuple[float, float]]) -> Markup:
    """Steps between the points that no other beats: dearer to the right, better upwards."""
    way: list[tuple[float, float]] = []
    for x, top in sorted(places):
        if way:
            way.append((x, way[-1][1]))
        way.append((x, top))
    drawn = " ".join(f"{coordinate(x)},{coordinate(top)}" for x, top in way)
    return element("polyline", points=drawn, class_="line front")


def mark(point: Point, x: float, top: float, ends: Sequence[float], text: str) -> Markup:
    whisker = element("line", x1=x, x2=x, y1=ends[0], y2=ends[1], class_="whisker")
    shape = element("svg", symbol(point.look), x=x, y=top, overflow="visible")
    return element("g", element("title", text), whisker, shape, class_=f"mark {point.look}")


def label(text: str, x: float, top: float, taken: list[Box]) -> Markup:
    """The point's name where it covers nothing else, if there is such a place."""
    width = LETTER * columns(text)
    best = None
    for right, down, anchor in PLACES:
        left = x + right - {"start": 0, "middle": width / 2, "end": width}[anchor]
        box = Box(left, top + down - LINE + 2, left + width, top + down + 2)
        inside = box.left > LEFT and box.right < WIDTH and box.top > 0 and box.bottom < HEIGHT - 20
        if inside and not any(box.meets(other) for other in taken):
            best = (right, down, anchor, box)
            break
    if best is None:
        return Markup("")  # its tooltip and the table have it
    right, down, anchor, box = best
    taken.append(box)
    return element("text", text, x=x + right, y=top + down, text_anchor=anchor, class_="name")
