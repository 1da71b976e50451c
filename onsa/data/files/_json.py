"""JSON values one after the other out of a text that is read block by block."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from onsa.data.files._opened import LONGEST_ROW, too_long
from onsa.errors import InputError

SPACE = re.compile(r"[ \t\n\r]*")
SHOWN = 24  # characters before a fault in a message
NEAR_END = 8  # a value may be cut there: "tru", "1.5e", "\\u30"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def parsed(text: str, where: str) -> Any:
    """The value of a whole JSON text.

    Raises:
        InputError: it is broken.
    """
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as fault:
        raise broken(fault, where, text=text) from None


def broken(
    fault: ValueError | RecursionError, where: str, *, column: int = 0, text: str = ""
) -> InputError:
    """What to say of a fault in JSON; `column` is its place in the line if not the fault's own."""
    if isinstance(fault, RecursionError):
        return InputError("JSON nested too deeply", where=where, way_out="flatten it")
    if not isinstance(fault, json.JSONDecodeError):
        return InputError(f"broken JSON ({fault})", where=where, way_out="mend it")
    shown = (text or fault.doc)[max(0, fault.pos - SHOWN) : fault.pos + SHOWN]
    return InputError(
        f"broken JSON ({fault.msg}, column {column or fault.colno}, at {shown!r})",
        where=where,
        way_out="mend that place",
    )


class Scanner:
    """The values of a JSON text, read as far as they are asked for.

    In memory is the value at hand and little more. `line` is where the next character is.
    """

    def __init__(self, blocks: Iterator[str], name: str) -> None:
        self.line = 1
        self._blocks = blocks
        self._name = name
        self._text = ""
        self._at = 0
        self._before = 0  # characters of the line that are gone from the text

    def peek(self) -> str:
        """The next character that is no white space; nothing at the end."""
        while True:
            found = SPACE.match(self._text, self._at)
            assert found is not None
            self._go_to(found.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> str:
        """The next character, which must be one of those wanted."""
        found = self.peek()
        if not found or found not in wanted:
            expected = " or ".join(map(repr, wanted))
            raise self._broken(json.JSONDecodeError(f"Expecting {expected}", self._text, self._at))
        self._go_to(self._at + 1)
        return found

    def value(self) -> Any:
        """The next value.

        Raises:
            TooLongError: it is longer than a row may be; it is still the next value.
            InputError: it is broken.
        """
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as fault:
                if not self._may_go_on(fault) or not self._more():
                    raise self._broken(fault) from None
                continue
            # A number that ends where the text does so far may go on behind it.
            if end < len(self._text) or not self._more():
                self._go_to(end)
                return value

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise self._broken(json.JSONDecodeError("Extra data", self._text, self._at))

    def _go_to(self, place: int) -> None:
        self.line += self._text.count("\n", self._at, place)
        self._at = place

    def _more(self) -> bool:
        """Read on: as much again as is waiting, so that many tries cost no more than two."""
        waiting = self._text[self._at :]
        if len(waiting) > LONGEST_ROW:
            raise too_long(f"{self._name}:{self.line}")
        start = self._text.rfind("\n", 0, self._at) + 1
        blocks, length = [waiting], 0
        for block in self._blocks:
            blocks.append(block)
            length += len(block)
            if length > len(waiting):
                break
        if length == 0:
            return False
        self._before = self._at - start + (0 if start else self._before)
        self._text, self._at = "".join(blocks), 0
        return True

    def _may_go_on(self, fault: ValueError | RecursionError) -> bool:
        """Whether the fault may be that the value is not whole yet."""
        if not isinstance(fault, json.JSONDecodeError):
            return False
        return fault.msg.startswith("Unterminated") or fault.pos >= len(self._text) - NEAR_END

    def _broken(self, fault: ValueError | RecursionError) -> InputError:
        line, column = self.line, 0
        if isinstance(fault, json.JSONDecodeError):
            line += self._text.count("\n", self._at, fault.pos)
            start = self._text.rfind("\n", 0, fault.pos) + 1
            column = fault.pos - start + 1 + (0 if start else self._before)
        return broken(fault, f"{self._name}:{line}", column=column)
