"""Multiple choice: a question, its choices, and which is right (LogiQA 2.0, ARC and their kin).

The choices are a list, or columns that are counted (`choice0`, `option_a`, `A`, ...). The prompt
shows them with letters, the reply is the right one's letter.
"""

from __future__ import annotations

import re
import string
from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._lists import list_in
from onsa.data.formats._rows import as_text, asked_on, cell_text, exchange, group_of, joined
from onsa.errors import InputError

PASSAGES = ("text", "passage", "context")
LISTS = ("options", "choices")
ANSWERS = ("answer", "answerKey", "label")
COUNTED = re.compile(r"(?P<word>|choice|ans|answer|option|opt|op)_?(?P<mark>\d{1,2}|[A-Ja-j])")


def has_choices(row: dict[str, Any]) -> bool:
    """Whether a row has choices, listed or counted."""
    return bool(set(LISTS) & set(row)) or len(_counted(row)) > 1


def _counted(row: dict[str, Any]) -> dict[str, str]:
    """The columns that are choices, by what they are counted with (`0`, `A`); of one word only."""
    found = {column: COUNTED.fullmatch(column) for column in row}
    columns = {column: match for column, match in found.items() if match is not None}
    words = {match["word"] for match in columns.values()}
    is_a_column_number = words == {""} and any(column.isdigit() for column in columns)
    if len(words) != 1 or is_a_column_number:
        return {}
    return {match["mark"].upper(): column for column, match in columns.items()}


def _matches(row: dict[str, Any]) -> bool:
    return "question" in row and has_choices(row) and bool(set(ANSWERS) & set(row))


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    passage = joined(cell_text(row, column, source) for column in PASSAGES if column in row)
    prompt = asked_on(passage, cell_text(row, "question", source))
    answer = next(row[column] for column in ANSWERS if column in row)
    listed = next((row[column] for column in LISTS if column in row), None)
    if listed is None:
        counted = _counted(row)
        listed = {
            "text": [row[column] for column in counted.values()],
            "label": [] if "A" in counted else list(counted),
        }
    return [lettered_example(prompt, listed, answer, source, group=group_of(passage))]


def lettered_example(
    prompt: str, choices: Any, answer: Any, source: str, *, system: str = "", group: str = ""
) -> Example:
    """The prompt with lettered choices, and the right letter as the reply.

    `choices` is a list of texts, or `{"text": [...], "label": [...]}`. `answer` is a position
    from 0, a letter, one of the labels, or the text of a choice. `extra` has `choices` (the
    letters that a reply may be) and `answer` (the right one).

    Raises:
        InputError: fewer than 2 or more than 26 choices, or an answer that is none of them, or
            that can be read as two of them.
    """
    texts, labels = _texts_and_labels(choices, source)
    right = _position(answer, texts, labels, source)
    letters = list(string.ascii_uppercase[: len(texts)])
    lines = [f"{letter}. {text}" for letter, text in zip(letters, texts, strict=True)]
    extra = {"choices": letters, "answer": letters[right]}
    # An empty question stays empty, so that it is found to be so.
    whole = "\n".join([prompt, *lines]) if prompt.strip() else ""
    return exchange(whole, letters[right], source, system=system, extra=extra, group=group)


def _texts_and_labels(choices: Any, source: str) -> tuple[list[str], list[str]]:
    labels: Any = []
    if isinstance(choices, dict):
        choices, labels = choices.get("text"), choices.get("label", [])
    choices = list_in(choices)
    if choices is None or not 2 <= len(choices) <= len(string.ascii_uppercase):
        raise InputError(
            "the choices are not a list of 2 to 26 texts", where=source, way_out="mend the row"
        )
    if not isinstance(labels, list) or len(labels) not in (0, len(choices)):
        raise InputError(
            "the choices have other labels than texts", where=source, way_out="mend the row"
        )
    texts = [as_text(choice, "choices", source) for choice in choices]
    return texts, [as_text(label, "label", source) for label in labels]


def _position(answer: Any, texts: list[str], labels: list[str], source: str) -> int:
    if isinstance(answer, int) and not isinstance(answer, bool) and not labels:
        found = {answer} & set(range(len(texts)))
    else:
        found = _readings(as_text(answer, "answer", source).strip(), texts, labels)
    if len(found) == 1:
        return found.pop()
    what = "can be read as two choices" if found else "is none of the choices"
    raise InputError(
        f"the answer {str(answer)[:40]!r} {what}",
        where=source,
        way_out=f"give its position from 0 to {len(texts) - 1} as a number, or its letter; or say "
        "what the answers call the columns: 'choices: {A: ..., B: ...}'",
    )


def _readings(answer: str, texts: list[str], labels: list[str]) -> set[int]:
    """Every choice that the answer may mean: by its label, letter, position, or own text."""
    labelled = {place for place, label in enumerate(labels) if label == answer}
    found = {place for place, text in enumerate(texts) if text.strip() == answer}
    if labels:
        return labelled or found
    letter = answer.removeprefix("(").removesuffix(")").removesuffix(".").upper()
    letters = string.ascii_uppercase[: len(texts)]
    if len(letter) == 1 and letter in letters:
        found.add(letters.index(letter))
    # isascii: other digits, such as '²', are digits to Python and no numbers.
    if answer.isascii() and answer.isdigit() and len(answer) < 3 and int(answer) < len(texts):
        found.add(int(answer))
    return found


FORMAT = Format(
    "choices", "question, options (or choices), answer; a passage as text", _matches, _convert
)
