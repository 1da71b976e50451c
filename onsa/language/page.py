"""A whole HTML page in the chosen language: its texts, and what tooltips and screen readers say.

Names, data and code stay: what stands in `pre`, `code` and in elements of class `data`. The page is
our own, so a tag ends at the first `>`: in attributes it is always written as an entity.
"""

from __future__ import annotations

import re
from html import escape, unescape

from onsa.language import chosen, tell

TAG = re.compile(r"(<[^>]*>)")
NAME = re.compile(r"</?([a-zA-Z][\w-]*)")
DATA = re.compile(r'class="(?:[^"]* )?data[ "]')
SILENT = {"script", "style", "pre", "code"}
SPOKEN = re.compile(r'(?<= )(title|alt|aria-label|data-head|data-text|placeholder)="([^"]*)"')


def tell_page(html: str) -> str:
    """The page with every text that has an entry translated; in English the page as it is."""
    if chosen() == "en":
        return html
    said, silent, depth = [], "", 0
    for place, part in enumerate(TAG.split(html)):
        is_tag = place % 2 == 1
        name = found.group(1) if is_tag and (found := NAME.match(part)) else ""
        if silent:
            if name == silent and not part.endswith("/>"):
                depth += -1 if part.startswith("</") else 1
                silent = silent if depth else ""
        elif is_tag:
            if not part.startswith("</") and (name in SILENT or DATA.search(part)):
                silent, depth = name, 1
            part = SPOKEN.sub(_attribute, part)
        else:
            part = _text(part)
        said.append(part)
    return "".join(said)


def _attribute(found: re.Match[str]) -> str:
    return f'{found.group(1)}="{_text(found.group(2))}"'


def _text(text: str) -> str:
    """A text between two tags, line breaks taken as spaces; unchanged where it has no entry."""
    if not re.search("[A-Za-z]", text):
        return text
    before, after = re.match(r"\s*", text), re.search(r"\s*$", text)
    assert before
    assert after
    plain = re.sub(r"[ \n\t]+", " ", unescape(text)).strip(" ")
    told = tell(plain)
    return text if told == plain else f"{before.group()}{escape(told)}{after.group()}"
