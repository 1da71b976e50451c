"""One HTML page that needs nothing but itself.

The data are taken to be hostile: every text is escaped, and a content security policy lets the
page run one style sheet and one script, both known by their hash, and load nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

from onsa.language import chosen, tell
from onsa.language.page import tell_page
from onsa.report import words
from onsa.report.drawing import charts
from onsa.report.scores import Facts

# Anchor (and template), heading, and what makes the view; a view of None leaves the section out.
Sections = tuple[tuple[str, str, Callable[[Facts], Any]], ...]
HERE = Path(__file__).parent


class Said(NamedTuple):
    """What the first screen says."""

    headline: str
    sentences: list[str]
    alarms: tuple[str, ...] = ()


def render_page(facts: Facts, sections: Sections, said: Any, card: Any = None) -> str:
    """A page of the figures: what is `said` first, then the sections that have a view."""
    views = [(name, title, view(facts)) for name, title, view in sections]
    style, script = (read(name) for name in ("style.css", "page.js"))
    page = environment().get_template("page.html")
    return tell_page(
        page.render(
            facts=facts,
            language=chosen(),
            verdict=said,
            card=card,
            sections=[(name, title, view) for name, title, view in views if view is not None],
            missing=[title for _, title, view in views if view is None],
            style=Markup(style),
            script=Markup(script),
            policy=policy(style, script),
        )
    )


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """Nothing may be loaded; only this style sheet and this script may act."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for kind, text in (("style", style), ("script", script)):
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        rules.append(f"{kind}-src 'sha256-{base64.b64encode(digest).decode('ascii')}'")
    return "; ".join(rules)


@cache
def environment() -> Environment:
    """Jinja with escaping always on; a fact that is missing prints as nothing."""
    loader = FileSystemLoader(HERE / "templates")
    made = Environment(
        autoescape=True,
        loader=loader,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        words.capital,
        words.count,
        words.decimal,
        words.duration,
        words.energy,
        words.listed,
        words.memory,
        words.moment,
        words.percent,
        words.points,
        words.probability,
        words.scaled,
        words.told_name,
        words.short_told_name,
        tell,
    ):
        made.filters[function.__name__] = function
    made.globals["key"] = charts.key
    return made
