"""One example: a conversation whose reply is trained, compared, or both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """A conversation that ends in the assistant's reply.

    `messages` are dictionaries with `role` (system, user, assistant) and `content`; the last one
    is the reply. `extra` holds what the scoring of its task needs (choices, the verifier's
    entry, ...). `source` says where it came from (`train.jsonl:17`), for messages to people.
    """

    messages: tuple[dict[str, str], ...]
    extra: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def prompt(self) -> tuple[dict[str, str], ...]:
        return self.messages[:-1]

    @property
    def reply(self) -> str:
        return self.messages[-1]["content"]
