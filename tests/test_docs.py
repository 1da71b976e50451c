"""The documentation is true: links lead somewhere, commands parse, recipes are valid."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from onsa.cli import Misuse, _without_language, app
from onsa.commands.add import Addition
from onsa.methods import method_settings
from onsa.recipe.reading import build_recipe
from onsa.recipe.schema import Recipe
from onsa.settings import validated
from onsa.tasks import find_kind

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]

BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.M | re.S)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
TASK = re.compile(r"^[\w-]+: \{.*\}$")
COMMANDS: Any = typer.main.get_command(app)
PLACEHOLDER = re.compile(r"…|\.\.\.|\b[A-Z]{2,}\b")  # `onsa merge RUN` names what it needs
OF_A_RUN = {"model": "m", "output": "o"}


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of code of a page, without their indent."""
    return [
        Block(language, re.sub(rf"^{indent}", "", text, flags=re.M))
        for indent, language, text in BLOCK.findall(page)
    ]


def prose(page: str) -> str:
    return BLOCK.sub("", page)


def commands(page: str) -> Iterator[list[str]]:
    """The words after `onsa` of every command line in the blocks of a page."""
    for block in blocks(page):
        if not block.language:
            yield from (words for line in joined(block.text) for words in commands_of(line))


def mentions(page: str) -> Iterator[list[str]]:
    """The same in its text, where a command may stand without its arguments."""
    yield from (words for line in INLINE.findall(prose(page)) for words in commands_of(line))


def joined(text: str) -> list[str]:
    """Lines of a block; a quote that is open at a line's end goes on in the next one."""
    found: list[str] = []
    for line in text.splitlines():
        if found and found[-1].partition(" #")[0].count("'") % 2:
            found[-1] += f" {line.strip()}"
        else:
            found.append(line)
    return found


def commands_of(line: str) -> list[list[str]]:
    """The words after `onsa` of each command in a line; nothing where it is no shell's line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    try:
        for word in lexer:  # comments are dropped
            if set(word) <= set(";&|"):
                parts.append([])
            else:
                parts[-1].append(word)
    except ValueError:  # a lone apostrophe
        return []
    return [words[1:] for words in parts if words[:1] == ["onsa"] and len(words) > 1]


def parse(words: list[str]) -> None:
    """Parse a command's words as the command line does, without running it.

    Raises:
        Misuse: no such command or option, or one argument too few or too many.
    """
    _, words = _without_language(words)  # which main() takes out before
    with contextlib.suppress(typer.Exit):  # after --help
        context = COMMANDS.make_context("onsa", list(words))
        if words[0].startswith("-"):
            return
        name, command, rest = COMMANDS.resolve_command(context, list(words))
        command.make_context(name, rest)


def recipes(page: str) -> Iterator[dict[str, Any]]:
    """Every YAML block of a page that has tasks."""
    for block in blocks(page):
        if block.language == "yaml":
            value = yaml.safe_load(block.text)
            if isinstance(value, dict) and "tasks" in value:
                yield value


def task_lines(page: str) -> Iterator[dict[str, Any]]:
    """Tasks that a page writes in one line: `jnli: {kind: pair, ...}`; `split: {...}` is a key."""
    for text in INLINE.findall(prose(page)):
        is_task = TASK.fullmatch(text) and "train:" in text and not text.startswith("split:")
        if is_task and not PLACEHOLDER.search(text):
            yield yaml.safe_load(text)


def build(raw: dict[str, Any], where: str) -> Recipe:
    """The recipe of a page; one for `onsa add` takes model and output from its run."""
    if "model" in raw:
        return build_recipe(raw, method_settings(), where)
    return build_recipe({**OF_A_RUN, **raw, "method": "add"}, {"add": Addition}, where)


def check_tasks(recipe: Recipe) -> None:
    for task in (*recipe.tasks, *recipe.untrained_tasks):
        validated(find_kind(task.kind).settings, task.options, task.name)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_and_places(page: Path) -> None:
    for link in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue  # the web; no test asks it
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            text = target.read_text(encoding="utf-8")
            assert anchor in {*ANCHOR.findall(text), *headings(text)}, f"{page.name}: {link}"


def headings(text: str) -> set[str]:
    """The anchors that headings make, as on GitHub."""
    found = re.findall(r"^#+ (.+)$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in found}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_parse(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [(words, True) for words in commands(text)]
    lines += [(words, False) for words in mentions(text)]
    for words, whole in lines:
        try:
            parse(words)
        except Misuse as fault:
            if whole or type(fault).__name__ != "MissingParameter":
                pytest.fail(f"onsa {' '.join(words)}: {fault.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_recipes_are_valid(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for raw in recipes(text):
        check_tasks(build(raw, page.name))
    for tasks in task_lines(text):
        check_tasks(build({**OF_A_RUN, "tasks": tasks}, page.name))


def test_each_language_links_to_the_other() -> None:
    english, japanese = (ROOT / name for name in ("README.md", "README.ja.md"))
    assert "(README.ja.md)" in english.read_text(encoding="utf-8")
    assert "(README.md)" in japanese.read_text(encoding="utf-8")


def test_both_readmes_show_the_same_recipe_and_commands() -> None:
    """A command or key that changes in one language changes in the other."""
    english, japanese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md")
    )
    assert list(recipes(english)) == list(recipes(japanese))
    shown, said = ([c for c in commands(text) if len(c) > 1] for text in (english, japanese))
    assert all(command in said for command in shown)


@pytest.mark.parametrize(
    "line",
    ["onsa tine recipe.yaml", "onsa tune recipe.yaml --metods lora", "onsa check", "onsa --langue"],
)
def test_a_wrong_command_is_found(line: str) -> None:
    (words,) = commands(f"```\n{line}\n```\n")
    with pytest.raises(Misuse):
        parse(words)
