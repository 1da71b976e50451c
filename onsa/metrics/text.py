"""Comparing a reply with its reference."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

# A sign counts only where nothing it could subtract from stands before it.
NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])-)?(?:[$€£¥]\s?)?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
)
ANSWER_MARK = "####"


def same_text(reply: str, reference: str, *, ignore_case: bool = False) -> bool:
    """Whether two texts are equal after Unicode NFKC and with all white space alike."""
    return _plain(reply, ignore_case) == _plain(reference, ignore_case)


def folded(text: str) -> str:
    """The text in Unicode NFKC and without case, white space alike."""
    return _plain(text, ignore_case=True)


def _plain(text: str, ignore_case: bool) -> str:
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text.casefold() if ignore_case else text


def final_number(text: str) -> Decimal | None:
    """The number after the first `####`, else the last number; None if there is none.

    Thousands may be set off by commas, a currency sign may stand before the digits; full-width
    digits are digits. A model that goes on to invent more questions is scored on its first answer.
    """
    text = unicodedata.normalize("NFKC", text).replace("−", "-")
    _, _, after = text.partition(ANSWER_MARK)
    first = NUMBER.search(after)
    if first:
        return _value(first)
    numbers = list(NUMBER.finditer(text))
    return _value(numbers[-1]) if numbers else None


def _value(match: re.Match[str]) -> Decimal:
    value = Decimal(match["digits"].replace(",", ""))
    # Not `-value`: that would round to 28 digits.
    return value.copy_negate() if match["sign"] else value
