"""Telephone numbers of persons: Japanese, North American, and international with a plus.

Numbers that belong to no person are left out: freephone and service numbers, and those kept free
for fiction (555).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from onsa.inspection.characters import Span

HYPHEN = "[-\u2010-\u2015\u2212\uff0dー\uff70]"
_BEFORE = r"(?<![\dA-Za-z_.+=/#\-\u2010-\u2015])"
_AFTER = r"(?![\d_]|[-.][\dA-Za-z]|[A-Za-z]{2})"
_OPEN, _CLOSE = "[(（]", "[)）]"

MOBILE = re.compile(rf"{_BEFORE}0[5789]0{HYPHEN}?[1-9]\d{{3}}{HYPHEN}?\d{{4}}{_AFTER}")
FIXED = re.compile(
    rf"{_BEFORE}(?:0[1-9]\d{{0,3}}(?:{HYPHEN}|{_OPEN})|{_OPEN}0[1-9]\d{{0,3}}{_CLOSE} ?)"
    rf"\d{{1,4}}(?:{HYPHEN}|{_CLOSE})\d{{4}}{_AFTER}"
)
SERVICES = ("0120", "0800", "0570", "0990", "0180", "0170")
NORTH_AMERICAN = re.compile(
    rf"{_BEFORE}(?:1[-. ])?(?:\(([2-9]\d\d)\) ?|([2-9]\d\d)([-.]))([2-9]\d\d)[-.](\d{{4}}){_AFTER}",
    re.ASCII,
)
FREEPHONE = {"555", "800", "833", "844", "855", "866", "877", "888", "900"}
INTERNATIONAL = re.compile(
    rf"(?<![\w+.*/^(]){_OPEN}?[+＋][1-9]\d{{0,2}}"
    rf"(?:(?:{HYPHEN}|[ .])?{_OPEN}?\d{{1,9}}{_CLOSE}?(?:{HYPHEN}|[ .])?){{1,5}}(?<=\d){_AFTER}"
)
MANY_DIGITS = re.compile(r"\d(?:\D{0,2}\d){8}")


def find_phones(text: str) -> Iterator[Span]:
    """Telephone numbers in a text."""
    for found in MOBILE.finditer(text):
        yield Span("phone", *found.span())
    for found in FIXED.finditer(text):
        digits = digits_of(found[0])
        if len(digits) == 10 and not digits.startswith(SERVICES):
            yield Span("phone", *found.span())
    for found in NORTH_AMERICAN.finditer(text):
        if _is_a_person(found[1] or found[2], found[4], found[5]):
            yield Span("phone", *found.span())
    for found in INTERNATIONAL.finditer(text):
        if _is_international(found[0]):
            yield Span("phone", *found.span())


def _is_a_person(area: str, exchange: str, line: str) -> bool:
    if area in FREEPHONE or area[1:] == "11" or exchange[1:] == "11":
        return False
    return not (exchange == "555" and line.startswith("01"))


def _is_international(number: str) -> bool:
    digits = digits_of(number)
    if digits.startswith("1"):
        return len(digits) == 11 and _is_a_person(digits[1:4], digits[4:7], digits[7:])
    # E.164 allows 15 digits; written without a gap, so long a number is rather a sum.
    return 9 <= len(digits) <= (15 if len(digits) + 1 < len(number) else 13)


def digits_of(text: str) -> str:
    """The digits of a text, full-width ones as ASCII."""
    return "".join(str(int(character)) for character in text if character.isdecimal())
