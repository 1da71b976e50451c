"""The confusion matrix as a picture: a row for each true class, a column for each reply."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from onsa.language import columns
from onsa.report.drawing.svg import LEVELS, element, picture

CELL, EDGE = 34.0, 8.0  # of a box; what is left free around
LETTERS = 16  # of a label; a wide letter counts as two
LABEL_WIDTH, LABEL_HEIGHT = 134.0, 84.0
OTHER = "other"


def confusion_picture(
    title: str, labels: Sequence[str], counts: Sequence[Sequence[float]], others: Sequence[float]
) -> Markup:
    """Counts in boxes, shaded by their share of the row; the last column is any other reply."""
    columns = [*labels, OTHER] if any(others) else list(labels)
    table = [
        [*row, other] if any(others) else list(row)
        for row, other in zip(counts, others, strict=True)
    ]
    drawn = [_column_label(place, label) for place, label in enumerate(columns)]
    for place, (label, row) in enumerate(zip(labels, table, strict=True)):
        drawn.append(_row_label(place, label))
        total = sum(row) or 1.0
        for at, count in enumerate(row):
            text = f"{label} taken for {columns[at]}: {count:,.0f}"
            drawn.append(_box(place, at, count, count / total, text, is_hit=place == at))
    width = LABEL_WIDTH + CELL * len(columns) + EDGE + 40
    height = LABEL_HEIGHT + CELL * len(labels) + EDGE
    return picture(
        _spoken(title, columns, labels, table),
        *drawn,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=width,
        height=height,
        class_="confusion",
    )


def shortened(label: str) -> str:
    """At most `LETTERS` wide, a wide letter counting as two."""
    width, kept = 0, ""
    for letter in label:
        width += columns(letter)
        if width > LETTERS:
            return kept + "…"
        kept += letter
    return kept


def _spoken(
    title: str, columns: Sequence[str], labels: Sequence[str], table: Sequence[Sequence[float]]
) -> str:
    wrong = [
        (count, f"{labels[row]} taken for {columns[at]} {count:,.0f} times")
        for row, counts in enumerate(table)
        for at, count in enumerate(counts)
        if at != row and count
    ]
    worst = [text for _, text in sorted(wrong, key=lambda pair: -pair[0])[:3]]
    return f"{title}: {'; '.join(worst) or 'nothing confused'}"


def _box(row: int, column: int, count: float, share: float, text: str, *, is_hit: bool) -> Markup:
    x, y = LABEL_WIDTH + CELL * column, LABEL_HEIGHT + CELL * row
    level = min(LEVELS, round(LEVELS * share)) if count else None
    look = "empty" if level is None else f"{'gain' if is_hit else 'loss'}-{max(1, level)}"
    box = element("rect", x=x, y=y, width=CELL - 2, height=CELL - 2, rx=2)
    middle = x + CELL / 2 - 1
    shown = f"{count:,.0f}" if count else ""
    told = element("text", shown, x=middle, y=y + CELL / 2 + 3, text_anchor="middle", class_="tick")
    return element("g", element("title", text), box, told, class_=look)


def _row_label(place: int, label: str) -> Markup:
    y = LABEL_HEIGHT + CELL * (place + 0.5) + 3
    text = element(
        "text", shortened(label), x=LABEL_WIDTH - 8, y=y, text_anchor="end", class_="tick"
    )
    return element("g", element("title", label), text)


def _column_label(place: int, label: str) -> Markup:
    x, y = LABEL_WIDTH + CELL * (place + 0.5), LABEL_HEIGHT - 8
    turned = f"rotate(-40 {x:.0f} {y:.0f})"
    text = element("text", shortened(label), x=x, y=y, transform=turned, class_="tick")
    return element("g", element("title", label), text)
