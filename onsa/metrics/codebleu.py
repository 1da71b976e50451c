"""CodeBLEU for Python (Ren et al. 2020, arXiv:2009.10297), by the paper's formula in our own code.

CodeBLEU = α · BLEU + β · BLEU_weighted + γ · Match_ast + δ · Match_df, here with a quarter each:

- BLEU over the tokens of both programs, orders 1 to 4, with the brevity penalty.
- The same with each single token weighted: keywords 1, all others 0.2.
- The share of the reference's syntax subtrees that the reply has, names and values left out.
- The share of the reference's data flow that the reply has: which use of a variable takes its value
  from which. Variables are numbered in their order, so that their names do not count. A reference
  without data flow leaves this part out, and the others weigh a third each.

The paper leaves open how counts of 0 are smoothed (here: add one for orders above 1, as for single
sentences in Lin and Och 2004) and takes trees and data flow from tree-sitter (here: from Python's
own parser). Figures compare with each other, not with those of other programs.
"""

from __future__ import annotations

import ast
import io
import keyword
import math
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ORDERS = 4
OTHERS_WEIGH = 0.2  # of a token that is no keyword
BLANK = {tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.ENCODING, tokenize.ENDMARKER}

Gram = tuple[str, ...]
Edge = tuple[int, int]


def code_bleu(reply: str, reference: str) -> float:
    """From 0 to 1; a reply that is no Python can still share tokens."""
    said, wanted = tokens(reply), tokens(reference)
    parts = [_bleu(said, wanted, lambda token: 1.0), _bleu(said, wanted, _weight)]
    said_tree, wanted_tree = _parsed(reply), _parsed(reference)
    parts.append(_shared(_subtrees(said_tree), _subtrees(wanted_tree)))
    if flow := data_flow(wanted_tree):
        parts.append(_shared(data_flow(said_tree), flow))
    return math.fsum(parts) / len(parts)


def tokens(program: str) -> list[str]:
    """The program's tokens without comments; by white space where it cannot be read as Python."""
    try:
        found = list(tokenize.generate_tokens(io.StringIO(program).readline))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return program.split()
    return [token.string.strip() or tokenize.tok_name[token.type]
            for token in found if token.type not in BLANK]  # fmt: skip


def data_flow(tree: ast.AST | None) -> Counter[Edge]:
    """(variable, variable it takes its value from) for every use, variables by their order."""
    if tree is None:
        return Counter()
    numbers: dict[str, int] = {}
    edges: Counter[Edge] = Counter()
    for target, sources in _assignments(tree):
        place = numbers.setdefault(target, len(numbers))
        edges.update((place, numbers.setdefault(name, len(numbers))) for name in sources)
    return edges


def _assignments(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Each name that gets a value, with the names that the value is made of, in their order."""
    for node in _in_order(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr | ast.For):
            targets = [node.target]
        elif isinstance(node, ast.Return):
            yield "return", _names(node.value)
        value = getattr(node, "iter", getattr(node, "value", None))
        for target in targets:
            added = _names(target) if isinstance(node, ast.AugAssign) else []
            for name in _names(target):
                yield name, added + _names(value)


def _in_order(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes in the order of the text, without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(list(ast.iter_child_nodes(node)))


def _names(node: ast.AST | None) -> list[str]:
    found = _in_order(node) if node is not None else iter(())
    return [each.id for each in found if isinstance(each, ast.Name)]


def _subtrees(tree: ast.AST | None) -> Counter[str]:
    """Every subtree with children as text: kinds of nodes only, no names and no values."""
    if tree is None:
        return Counter()
    shapes: dict[int, str] = {}
    found: Counter[str] = Counter()
    for node in reversed(list(_in_order(tree))):  # children come before their parents
        children = [shapes[id(child)] for child in ast.iter_child_nodes(node)
                    if not isinstance(child, ast.expr_context)]  # fmt: skip
        shapes[id(node)] = f"{type(node).__name__}({' '.join(children)})"
        if children:
            found[shapes[id(node)]] += 1
    return found


def _parsed(program: str) -> ast.AST | None:
    """The syntax tree; of the body of a function too. None where it is no Python."""
    for text in (program, "def body():\n" + _indented(program)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the program's own, as of `"\d"`
                return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _indented(program: str) -> str:
    """A body of a function, whose first line may have lost its indent."""
    first, _, rest = program.lstrip("\n").partition("\n")
    width = next((line[: len(line) - len(line.lstrip())] for line in rest.split("\n")
                  if line.strip()), "    ")  # fmt: skip
    return f"{width or '    '}{first.lstrip()}\n{rest}"


def _shared(ours: Counter[Any], theirs: Counter[Any]) -> float:
    return (ours & theirs).total() / theirs.total() if theirs else 0.0


def _bleu(said: Sequence[str], wanted: Sequence[str], weight: Callable[[str], float]) -> float:
    if not said or not wanted:
        return 0.0
    logarithms = []
    for order in range(1, ORDERS + 1):
        ours, theirs = _grams(said, order), _grams(wanted, order)
        # The paper weighs single tokens only: of longer runs every one counts alike.
        weights = {gram: weight(gram[0]) if order == 1 else 1.0 for gram in ours}
        hits = math.fsum(weights[gram] * count for gram, count in (ours & theirs).items())
        total = math.fsum(weights[gram] * count for gram, count in ours.items())
        if order > 1:
            hits, total = hits + 1, total + 1
        if not hits:
            return 0.0
        logarithms.append(math.log(hits / total))
    brevity = min(0.0, 1 - len(wanted) / len(said))
    return math.exp(brevity + math.fsum(logarithms) / ORDERS)


def _grams(words: Sequence[str], order: int) -> Counter[Gram]:
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _weight(token: str) -> float:
    return 1.0 if keyword.iskeyword(token) else OTHERS_WEIGH
