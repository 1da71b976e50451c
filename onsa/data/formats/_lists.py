"""Lists, also where a table holds them as text: as in JSON, or as Python writes them."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from itertools import pairwise
from typing import Any

from onsa.errors import InputError


def list_in(value: Any) -> list[Any] | None:
    """The list that a cell holds or spells; None where it is no list."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = _python_list(text)
    return found if isinstance(found, list) else None


def require_list(value: Any, column: str, source: str) -> list[Any]:
    """The same.

    Raises:
        InputError: it is no list.
    """
    found = list_in(value)
    if found is None:
        raise InputError(
            f"{column!r} is no list: {str(value)[:60]!r}",
            where=source,
            way_out='write it as ["first", "second"]',
        )
    return found


def _python_list(text: str) -> Any:
    try:
        if _parts_without_comma(text):
            return None
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None


def _parts_without_comma(text: str) -> bool:
    """Whether it is an array as NumPy prints it, which Python would read as one long text."""
    kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    return any(pair == (tokenize.STRING, tokenize.STRING) for pair in pairwise(kinds))
