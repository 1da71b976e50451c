"""Numbers and names as a reader wants them: units, signs, lists of names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from onsa.language import tell

MISSING = "–"
MINUS = "−"
NARROW_SPACE = "\u202f"

# Labels that the project's own methods and commands write; any other label is shown as it is.
NAMES = {
    "base": "the base model",
    "base, prompted": "the base model, prompted",
    "full": "plain mixing",
    "mixing": "plain mixing",
    "sequence": "training in sequence",
    "plain sequence": "plain sequence",
    "multi_stage": "multi-stage training",
    "single": "specialists",
    "cpi_ft": "CPI-FT",
    "lora": "LoRA",
    "before": "the model before",
    "held": "with the earlier cores held",
}

# Lone surrogates cannot be encoded, control characters are not allowed in HTML, and those that turn
# the direction of writing could make a name rearrange the sentence around it.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(value: Any) -> Any:
    """`value` (JSON) with the characters of `UNPRINTABLE` replaced by U+FFFD."""
    if isinstance(value, str):
        return UNPRINTABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {printable(key): printable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [printable(entry) for entry in value]
    return value


def number(value: object) -> float | None:
    """`value` as a finite float, else None: missing and undefined numbers are shown, not hidden."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def count(value: object) -> str:
    """`1,345,150`."""
    found = number(value)
    return MISSING if found is None else f"{found:,.0f}".replace("-", MINUS)


def scaled(value: object) -> str:
    """A large count in three digits: `1.35 M`."""
    found = number(value)
    if found is None:
        return MISSING
    for unit, factor in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(found) >= factor:
            return f"{found / factor:.3g}{NARROW_SPACE}{unit}"
    return f"{found:.3g}"


def memory(value: object) -> str:
    """Bytes as `3.2 GiB`."""
    found = number(value)
    if found is None:
        return MISSING
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if found >= factor:
            return f"{found / factor:.1f}{NARROW_SPACE}{unit}"
    return f"{found:.0f}{NARROW_SPACE}B"


def energy(value: object) -> str:
    """Kilowatt-hours as `3.2 Wh`."""
    found = number(value)
    return MISSING if found is None else f"{1000 * found:.3g}{NARROW_SPACE}Wh"


def duration(value: object) -> str:
    """Seconds as `1 h 12 min`."""
    found = number(value)
    if found is None:
        return MISSING
    if found < 60:
        return f"{found:.2g}{NARROW_SPACE}s" if found < 10 else f"{found:.0f}{NARROW_SPACE}s"
    if found < 600:
        return f"{found / 60:.1f}{NARROW_SPACE}min"
    minutes = round(found / 60)
    hours, minutes = divmod(minutes, 60)
    short = f"{minutes}{NARROW_SPACE}min"
    return f"{hours}{NARROW_SPACE}h {short}" if hours else short


def decimal(value: object, places: int = 3) -> str:
    found = number(value)
    return MISSING if found is None else f"{found:.{places}f}".replace("-", MINUS)


def signed(value: float, places: int) -> str:
    """`+1.5` or `−1.5`, and `0.0` without a sign."""
    text = f"{abs(value):.{places}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def percent(value: object, places: int = 1) -> str:
    """A share as per cent: `0.415` is `41.5 %`."""
    found = number(value)
    return MISSING if found is None else f"{decimal(100 * found, places)}{NARROW_SPACE}%"


def points(change: object) -> str:
    """A change of a share: `+1.5 points`."""
    found = number(change)
    return MISSING if found is None else f"{signed(100 * found, 1)}{NARROW_SPACE}points"


def probability(value: object) -> str:
    found = number(value)
    if found is None:
        return MISSING
    return "p < 0.001" if found < 0.001 else f"p = {found:.3f}"


def name_of(label: object) -> str:
    """A label of the report inside a sentence: `the base model`, `CPI-FT`."""
    return NAMES.get(str(label), str(label))


def short_name_of(label: object) -> str:
    """The same in legends and table heads: `base model`."""
    return name_of(label).removeprefix("the ")


def told_name(label: object) -> str:
    """The same in the reader's language; a label that is not ours stays as it is."""
    return tell(name_of(label)) if str(label) in NAMES else str(label)


def short_told_name(label: object) -> str:
    return tell(short_name_of(label)) if str(label) in NAMES else short_name_of(label)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def plural(amount: int, word: str, words: str = "") -> str:
    return f"{amount:,} {word if amount == 1 else words or word + 's'}"


def moment(value: object) -> str:
    """An ISO time to the minute: `2026-01-15 14:03`."""
    return str(value or "")[:16].replace("T", " ")


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """At most about `most` of the points, evenly taken, the last one always among them."""
    stride = max(1, math.ceil(len(points) / most))
    kept = list(points[::stride])
    return kept if not points or (len(points) - 1) % stride == 0 else [*kept, points[-1]]
