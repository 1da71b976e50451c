"""What a row is: an object with its columns, or a bare text."""

from __future__ import annotations

from typing import Any

from onsa.errors import InputError


def row_of(value: Any, source: str) -> dict[str, Any]:
    """A value of a JSON file as a row; a bare text is its only column.

    Raises:
        InputError: it is anything but an object or a text.
    """
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise InputError(
            f"the row is a {type(value).__name__}, not an object",
            where=source,
            way_out="write each row as {...}; an array of rows belongs into a .json file",
        )
    return value
