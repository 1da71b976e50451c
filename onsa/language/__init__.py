"""The language that a person is spoken to in: English, or Japanese by hand-written catalogues.

The code speaks English; `tell` turns a finished text into the chosen language where it leaves the
program: on the terminal, in the report's page, in the model card. Figures that machines read stay
English. A text without an entry stays as it is.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from onsa.language.catalogue import Catalogue, load

LANGUAGES = ("en", "ja")
_catalogue: Catalogue | None = None  # None: English


def choose(name: str) -> None:
    """Speak this one of `LANGUAGES` from now on."""
    global _catalogue
    _catalogue = None if name == "en" else load(name)
    _line.cache_clear()


def chosen() -> str:
    return "en" if _catalogue is None else _catalogue.language


def by_environment(environment: Mapping[str, str] = os.environ) -> str:
    """What `ONSA_LANG` says, else the locale; English where that is none of ours."""
    keys = ("ONSA_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    named = next((environment[key] for key in keys if environment.get(key)), "")
    return known(named) or "en"


def known(name: str) -> str | None:
    """`ja` of `ja`, `ja_JP.UTF-8` or `ja-JP`; None where we do not speak it."""
    short = name.lower().replace("-", "_").split(".")[0].split("_")[0]
    return short if short in LANGUAGES else None


def tell(text: str) -> str:
    """The text in the chosen language, line by line, white space around each line kept."""
    if _catalogue is None:
        return text
    return "\n".join(_line(line) for line in text.split("\n"))


def tell_fault(where: str, what: str, way_out: str) -> str:
    """The parts of a user's mistake as one line."""
    if _catalogue is None:
        line = f"{where}: {what}" if where else what
        return f"{line}; {way_out}" if way_out else line
    return _catalogue.fault(where, what, way_out)


def columns(text: str) -> int:
    """Columns on a terminal: a wide letter takes two, a combining mark none."""
    wide = (1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)
    return sum(
        each for each, letter in zip(wide, text, strict=True) if not unicodedata.combining(letter)
    )


@lru_cache(maxsize=20_000)
def _line(line: str) -> str:
    assert _catalogue is not None
    core = line.strip()
    return line.replace(core, _catalogue.tell(core), 1) if core else line
