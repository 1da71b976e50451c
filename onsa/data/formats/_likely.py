"""What a row of no known shape is likely meant to be, as lines for the recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from onsa.data.formats._lists import list_in

MOST_READINGS = 3
ASIDE = re.compile(r"(^|[_-])(id|idx|ids|index|uuid|url|date|time|timestamp|version|hash)$", re.I)
LABEL = re.compile(
    r"label|class|categor|intent|sentiment|score|rating|stars|judg|gold|type|分類|評価|感情|ラベル",
    re.I,
)
REPLY = re.compile(
    r"answer|repl|response|complet|output|target|summar|translat|solution|antwort|"
    r"回答|返答|応答|出力|要約|答",
    re.I,
)
PROMPT = re.compile(r"question|prompt|instruct|input|query|frage|質問|指示|入力|問", re.I)
NO_TEXT = re.compile(  # identifiers, numbers, splits, nothing, JSON
    r"\s*((?=(?:[\w-]*\d){3})[A-Za-z0-9_-]+|-?\d{1,18}(\.\d{1,18})?|train|test|dev|valid|null|none|nan|[{\[].*)?\s*",
    re.I | re.DOTALL,
)
NUMBER = re.compile(r"\s*-?\d{1,18}(\.\d{1,18})?\s*")
NO_NAME = re.compile(r"[。、？！?!]|\s\S+\s\S+\s|^-?\d+(\.\d+)?$|^.{40}")
PLAIN = re.compile(r"[A-Za-z\u3041-\u9fff][\w\u3041-\u9fff-]*")
YAML_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
ALIKE = 3  # letters that the names of a pair begin with
SHORT_BYTES = 30  # of a label at most

Columns = dict[str, Any]
Reading = dict[str, str | list[str]]


def likely_readings(row: Columns, *, unanswered: bool = False) -> list[str]:
    """The two or three most likely `columns:` lines for a row of this shape.

    With `unanswered` prompts alone will do.
    """
    named = has_names(row)
    columns = row if named else {str(n): cell for n, cell in enumerate(row, start=1)}
    readings = [*_readings(columns, named), *_prompts(columns if unanswered else {})]
    return list(dict.fromkeys(map(_written, readings)))[:MOST_READINGS]


def has_names(row: Columns) -> bool:
    """Whether the columns have names, and not what looks like the first row of a table."""
    return not any(map(NO_NAME.search, row))


def _readings(columns: Columns, named: bool) -> Iterator[Reading]:
    used = _used(columns)
    texts = [name for name, value in used.items() if _is_text(value)]
    if not texts:
        return
    labels = _labels(used)
    replies = [name for name in used if REPLY.search(name) and _is_text_or_number(used[name])]
    asked = _asked([name for name in texts if name not in replies] or texts, used)
    yield from _choices(used, named, asked, replies)
    if replies and replies[0] != asked:
        yield {"prompt": asked, "reply": replies[0]}
    for label in labels[:2]:
        others = [name for name in texts if name not in labels[:2]] or texts
        about = _about([name for name in others if name != label], used, named)
        if about:
            yield {"text": about, "label": label}
    others = [name for name in texts if name != asked]
    if others and (not labels or len(others) > 1):
        yield {"prompt": asked, "reply": others[-1]}


def _prompts(columns: Columns) -> Iterator[Reading]:
    texts = [name for name, value in _used(columns).items() if _is_text(value)]
    if texts:
        yield {"prompt": _asked(texts, columns)}


def _used(columns: Columns) -> Columns:
    return {name: value for name, value in columns.items() if name and not ASIDE.search(name)}


def _choices(used: Columns, named: bool, asked: str, replies: list[str]) -> Iterator[Reading]:
    lists = [name for name, value in used.items() if _is_list_of_texts(value)]
    if lists and replies:
        yield {"prompt": asked, "choices": lists[0], "answer": replies[0]}
    letters = [name for name, value in used.items() if re.fullmatch("[A-J]", str(value))]
    if not named and letters:
        between = list(used)[list(used).index(asked) + 1 : list(used).index(letters[-1])]
        if len(between) > 1:
            yield {"prompt": asked, "choices": between, "answer": letters[-1]}


def _labels(used: Columns) -> list[str]:
    """What may be a label: what is called so, then short words, then numbers."""

    def rank(name: str) -> int:
        return 0 if LABEL.search(name) else 2 if NUMBER.fullmatch(str(used[name])) else 1

    return sorted((name for name, value in used.items() if _may_be_label(name, value)), key=rank)


def _may_be_label(name: str, value: Any) -> bool:
    if not _is_text_or_number(value):
        return False
    return bool(LABEL.search(name)) or (
        len(str(value).encode("utf-8", "replace")) <= SHORT_BYTES and str(value).count(" ") < 2
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and NO_TEXT.fullmatch(value[:1000]) is None


def _is_text_or_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) or NUMBER.fullmatch(str(value)) is not None
    return is_number or _is_text(value)


def _is_list_of_texts(value: Any) -> bool:
    found = list_in(value) or []
    return len(found) > 1 and all(isinstance(entry, str) for entry in found)


def _asked(texts: list[str], used: Columns) -> str:
    """The column that is most like a question: by its name, else the longest."""
    by_length = sorted(texts, key=lambda name: -len(used[name]))
    return next(filter(PROMPT.search, texts), by_length[0])


def _about(texts: list[str], used: Columns, named: bool) -> str | list[str]:
    """The text that a label may be about; a pair, where two are named alike or not named."""
    pair = texts[:2]
    if len(pair) == 2 and (not named or pair[0][:ALIKE] == pair[1][:ALIKE]):
        return pair
    return _asked(texts, used) if texts else []


def _written(reading: Reading) -> str:
    parts = [
        f"{part}: [{', '.join(map(_scalar, names))}]"
        if isinstance(names, list)
        else f"{part}: {_scalar(names)}"
        for part, names in reading.items()
    ]
    return f"columns: {{{', '.join(parts)}}}"


def _scalar(name: str) -> str:
    """A name as YAML reads it back; other than plain words are quoted as in JSON."""
    is_plain = PLAIN.fullmatch(name) is not None and name.lower() not in YAML_WORDS
    if is_plain or name.isdecimal():
        return name
    quoted = json.dumps(name[:80], ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
