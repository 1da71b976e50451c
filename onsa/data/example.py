"""One example: a conversation whose reply is trained, compared, or both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
"""`role` (system, user, assistant, tool) and `content`; a reply may have `tool_calls`, a tool's
turn `name` and `tool_call_id`."""


@dataclass(frozen=True)
class Example:
    """A conversation that ends in the assistant's reply.

    The last of the `messages` is the reply; it is empty where a row has none to compare with.
    `extra` holds what the scoring of its task needs (choices, the verifier's entry, ...), and under
    `tools` those that the chat template is to tell the model of; rows of texts with a label or a
    number have those as `texts` (one, or a pair) and `label`, whatever kind of task reads them.
    `source` says where it came from (`train.jsonl:17`), for messages to people. `weight` is that
    of its loss. Rows of one `group` (a passage, a person) stay on one side of a split and are
    resampled together. `target` is what a task's head is to say of the row, where the task has one:
    the number of a label, 0 and 1 for each of several labels, a number. `only_last`: of
    several replies only the last one is trained.
    """

    messages: tuple[Message, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    weight: float = 1.0
    group: str = ""
    target: int | float | tuple[int, ...] | None = None
    only_last: bool = False

    @property
    def prompt(self) -> tuple[Message, ...]:
        return self.messages[:-1]

    @property
    def reply(self) -> str:
        return str(self.messages[-1]["content"])

    @property
    def texts(self) -> tuple[str, ...]:
        """What a head reads: one text, or a pair."""
        return tuple(self.extra.get("texts") or (str(self.prompt[-1]["content"]),))
