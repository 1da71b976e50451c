"""Personal data in texts, by pattern and check digit: few false alarms rather than every hit.

Names are not found: they need a language model (see `presidio`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from onsa.inspection.addresses import find_addresses
from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.characters import Span, first_of_each
from onsa.inspection.check_digits import is_card, is_my_number
from onsa.inspection.phones import HYPHEN, MANY_DIGITS, digits_of, find_phones
from onsa.inspection.records import Record

Finder = Callable[[str], Iterator[Span]]

EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+\-/])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,63})[@＠]"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,6}([A-Za-z]{2,24})(?![A-Za-z0-9-])"
)
# RFC 2606 and 6761 keep these for examples; the rest are files' endings.
NO_DOMAIN = re.compile(
    r"(?:^|[@＠.])(?:example\.(?:com|net|org|jp|co\.jp)|\w+\.(?:example|test|invalid|localhost|local))$"
    r"|\.(?:png|jpe?g|gif|svg|webp|css|js|ts|json|html?|py|md|txt|zip|pdf)$",
    re.IGNORECASE,
)
NO_PERSON = re.compile(
    r"^(?:git|no-?reply|do-?not-?reply|example|someone|user(?:name)?|your?[._-]?(?:name|e?mail)?)[@＠]"
    r"|[@＠](?:your|my)?(?:domain|company|site|website|sample)\.\w+$",
    re.IGNORECASE,
)
_JOIN = f"(?:{HYPHEN}|[ 　])"
# What stands beside a sign is arithmetic, beside more digits a longer number.
_BEFORE = rf"(?<![\dA-Za-z_.,+=/#$¥%-])(?<![=+×÷] )(?<!\d{_JOIN})"
_AFTER = rf"(?![\dA-Za-z_%]|[.,]\d|[-/]\w| [=+×÷]|{_JOIN}\d)"
CARD = re.compile(
    rf"{_BEFORE}(?:\d{{14,19}}|(?:\d{{4}}{_JOIN}){{3}}\d{{4}}(?:{_JOIN}\d{{1,3}})?"
    rf"|\d{{4}}{_JOIN}\d{{6}}{_JOIN}\d{{4,5}}){_AFTER}"
)
MY_NUMBER = re.compile(rf"{_BEFORE}(?:\d{{12}}|\d{{4}}({_JOIN})\d{{4}}\1\d{{4}}){_AFTER}")
MY_NUMBER_NAME = re.compile("マイナンバー|個人番号|my ?number|individual number", re.IGNORECASE)
WIDE_DIGITS = {ord("０") + digit: ord("0") + digit for digit in range(10)}  # places stay the same
MASKS = {
    "e-mail": "[EMAIL]",
    "phone": "[PHONE]",
    "card": "[CARD]",
    "My Number": "[MY_NUMBER]",
    "address": "[ADDRESS]",
}


def find_personal_data(text: str) -> list[Span]:
    """What is found in a text, in its order; where two overlap, the first kind of `MASKS`."""
    text = text if text.isascii() else text.translate(WIDE_DIGITS)
    spans = list(find_emails(text)) if "@" in text or "＠" in text else []
    if MANY_DIGITS.search(text):
        spans += [*find_cards(text), *find_my_numbers(text), *find_phones(text)]
    spans += find_addresses(text)
    return without_overlaps(spans) if spans else []


def find_emails(text: str) -> Iterator[Span]:
    for found in EMAIL.finditer(text):
        if not NO_DOMAIN.search(found[0]) and not NO_PERSON.match(found[0]):
            yield Span("e-mail", *found.span())


def find_cards(text: str) -> Iterator[Span]:
    for found in CARD.finditer(text):
        if is_card(digits_of(found[0])):
            yield Span("card", *found.span())


def find_my_numbers(text: str) -> Iterator[Span]:
    for found in MY_NUMBER.finditer(text):
        # One of eleven numbers of 12 digits passes the check: without gaps, it must be named too.
        is_grouped = found[1] is not None
        if is_my_number(digits_of(found[0])) and (is_grouped or MY_NUMBER_NAME.search(text)):
            yield Span("My Number", *found.span())


def without_overlaps(spans: list[Span]) -> list[Span]:
    """The spans in the order of the text, of those that overlap the one that was found first."""
    kept: list[Span] = []
    for span in spans:
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def masked(text: str, spans: list[Span]) -> str:
    """The text with a mask in place of each span."""
    parts, end = [], 0
    for span in spans:
        parts += [text[end : span.start], MASKS.get(span.kind, f"[{span.kind.upper()}]")]
        end = span.end
    return "".join([*parts, text[end:]])


class PersonalData:
    """Rows with personal data."""

    def __init__(self, find: Callable[[str], list[Span]] = find_personal_data) -> None:
        self.find = find
        self.cases = Cases()

    def look(self, record: Record) -> None:
        for text, spans in ((text, self.find(text)) for text in record.texts):
            for kind, span in first_of_each(spans).items() if spans else ():
                what = text[span.start : span.end]
                self.cases.add(record.source, excerpt(text, span.start, span.end), kind, what=what)

    def facts(self) -> dict[str, Any]:
        return self.cases.facts()
