"""How many tokens tasks hold, and dividing a number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onsa.data.encoding import Encoder

if TYPE_CHECKING:
    from onsa.tasks import Task


def divide_tokens(
    tokens: int | None, tasks: Sequence[Task], encoder: Encoder
) -> dict[str, int | None]:
    """Each task's part of `tokens`, in proportion to what one weighted epoch of it trains."""
    if tokens is None:
        return {task.name: None for task in tasks}
    sizes = {
        task.name: task.weight * sum(encoder.encode(row).trained_tokens for row in task.train)
        for task in tasks
    }
    whole = sum(sizes.values())
    return {name: max(1, round(tokens * size / whole)) for name, size in sizes.items()}


def tokens_for_replies(tokens: int, tasks: Sequence[Task], encoder: Encoder) -> int:
    """All tokens, prompts with them, that are processed where so many reply tokens are trained."""
    replies = sum(
        task.weight * sum(encoder.encode(row).trained_tokens for row in task.train)
        for task in tasks
    )
    return round(tokens * tokens_of_an_epoch(tasks, encoder) / replies)


def tokens_of_an_epoch(tasks: Sequence[Task], encoder: Encoder) -> int:
    """All tokens, prompts with them, that one weighted epoch of the tasks processes."""
    sizes = (
        task.weight * sum(len(encoder.encode(row).ids) for row in task.train) for task in tasks
    )
    return round(sum(sizes))
