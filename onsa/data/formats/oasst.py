"""OpenAssistant trees: `prompt` with `text`, `role`, and `replies` that branch.

Each path from the root to a leaf is one conversation, without the user's turns after the last
reply. A path that ends up as the beginning of another is left out: its reply is trained there.
"""

from __future__ import annotations

from typing import Any

from onsa.data.example import Example
from onsa.data.formats import Format
from onsa.data.formats._rows import EmptyTextError, Message, cell_text, conversation, role_of
from onsa.errors import InputError

ROLES = {"prompter": "user", "assistant": "assistant"}
Path = tuple[dict[str, Any], ...]


def _matches(row: dict[str, Any]) -> bool:
    root = row.get("prompt")
    return isinstance(root, dict) and "text" in root and "role" in root


def _convert(row: dict[str, Any], source: str) -> list[Example]:
    answered = [_answered(path) for path in paths(row["prompt"], source)]
    # Nodes are told apart by identity: two replies may have the same text.
    inner = {id(node) for path in answered for node in path[:-1]}
    kept = {id(path[-1]): path for path in answered if path and id(path[-1]) not in inner}
    if not kept:
        raise EmptyTextError("a tree without a reply", where=source, way_out="delete it")
    return [conversation([_message(n, source) for n in path], source) for path in kept.values()]


def paths(root: dict[str, Any], source: str) -> list[Path]:
    """All paths from the root to a leaf, in the order of the file."""
    found: list[Path] = []
    waiting: list[Path] = [(root,)]
    while waiting:  # a loop, not recursion: a tree may be as deep as JSON allows
        path = waiting.pop()
        replies = path[-1].get("replies") or []
        if not isinstance(replies, list) or not all(isinstance(node, dict) for node in replies):
            raise InputError("'replies' is not a list of messages", where=source, way_out="mend it")
        waiting += [(*path, node) for node in reversed(replies)]
        if not replies:
            found.append(path)
    return found


def _answered(path: Path) -> Path:
    """The path up to its last reply."""
    while path and path[-1].get("role") != "assistant":
        path = path[:-1]
    return path


def _message(node: dict[str, Any], source: str) -> Message:
    role = role_of(node, "role", ROLES, source)
    return {"role": role, "content": cell_text(node, "text", source)}


FORMAT = Format("oasst", "prompt: {text, role, replies: [...]}", _matches, _convert)
