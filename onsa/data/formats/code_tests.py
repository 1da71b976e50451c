"""Programming tasks with their tests: HumanEval's shape (also MBXP's), and MBPP's.

HumanEval: `prompt` (the head of a function), `canonical_solution` (its body), `test` (defines
`check`), `entry_point`. MBPP: `text` (or `prompt`), `code`, `test_list`, `test_setup_code`.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import cell_text, exchange
from onsa.errors import InputError

HUMAN_EVAL = ("prompt", "canonical_solution", "test", "entry_point")


def has_tests(row: dict[str, Any]) -> bool:
    return all(name in row for name in HUMAN_EVAL) or ("code" in row and "test_list" in row)


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    return [_by_test_list(row, source) if "test_list" in row else _by_entry_point(row, source)]


def _by_entry_point(row: dict[str, Any], source: str) -> Example:
    prompt, solution, tests, name = (cell_text(row, column, source) for column in HUMAN_EVAL)
    called = f"{tests}\n\ncheck({name})\n" if "def check(" in tests else tests
    extra = {"tests": called, "stub": prompt, "entry_point": name}
    return exchange(prompt, solution, source, extra=extra)


def _by_test_list(row: dict[str, Any], source: str) -> Example:
    tests = row["test_list"]
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
        raise InputError(
            "test_list is no list of texts", where=source, way_out="give one assert in each"
        )
    listed = "\n".join(tests)
    asked = cell_text(row, "text" if "text" in row else "prompt", source)
    prompt = f"{asked}\nYour code should pass these tests:\n\n{listed}"
    setup = cell_text(row, "test_setup_code", source)
    extra = {"tests": f"{setup}\n{listed}\n", "stub": "", "entry_point": ""}
    return exchange(prompt, cell_text(row, "code", source), source, extra=extra)


FORMAT = Format(
    "code_tests",
    "prompt, canonical_solution, test, entry_point (or text, code, test_list)",
    has_tests,
    _convert,
)
