"""Plain YAML: no tags that make objects, no aliases, no key twice, no text that is none."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml

from onsa.errors import InputError

NO_TEXT = re.compile(r"[\0\ud800-\udfff]")  # no path and no file can hold these


def load_yaml(content: bytes | str, where: object) -> Any:
    """Plain YAML: no tags that make objects, no aliases, no key twice."""
    try:
        return yaml.load(content, Loader=_StrictLoader)  # a SafeLoader
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(fault, "problem", None) or str(fault)
        raise InputError(
            f"not readable as YAML{line}: {problem}", where=where, way_out="mend that line"
        ) from None
    except (RecursionError, ValueError) as fault:
        raise InputError(
            f"not readable as YAML: {type(fault).__name__}", where=where, way_out="simplify it"
        ) from None


class _StrictLoader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            _refuse("aliases (*name) are not allowed: write it out", self.peek_event())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                _refuse("merge keys (<<) are not allowed: write it out", key_node)
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in seen:
                _refuse(f"the key {key!r} stands twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and NO_TEXT.search(value):
            _refuse("a character that no text may hold", node)
        return value


def _refuse(problem: str, place: Any) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, place.start_mark)
