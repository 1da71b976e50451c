"""Code with tests: `prompt`, `canonical_solution`, `test`, `entry_point`, as in HumanEval, MBXP.

`extra` has what running the tests needs: `prompt` (the beginning of the program), `test` and
`entry_point`.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import cell_text, exchange

COLUMNS = ("prompt", "canonical_solution", "test", "entry_point")


def has_tests(row: dict[str, Any]) -> bool:
    return set(COLUMNS) <= set(row)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    texts = {name: cell_text(row, name, source) for name in COLUMNS}
    solution = texts.pop("canonical_solution")
    return [exchange(texts["prompt"], solution, source, extra=texts)]


FORMAT = Format("code_tests", ", ".join(COLUMNS), has_tests, _convert)
