"""Where the numbers come from: data, recipe, versions, machine, steps."""

from __future__ import annotations

from typing import Any

from onsa.report.scores import Facts
from onsa.report.words import plural


def tasks(facts: Facts) -> list[Facts] | None:
    return facts.get("tasks") or None


def prompts(facts: Facts) -> list[dict[str, Any]] | None:
    """Where a way of asking was compared: the first row of each task as it was asked."""
    return [
        {"label": label, "task": task, "messages": messages}
        for label, tasks in (facts.get("prompts") or {}).items()
        for task, messages in tasks.items()
    ] or None


def provenance(facts: Facts) -> dict[str, Any] | None:
    method = facts.get("method") or {}
    steps = facts.get("steps") or []
    reused = sum(bool(step.get("reused")) for step in steps)
    return {
        **{key: facts.get(key) for key in ("model", "machine", "versions", "recipe", "seed")},
        **{key: facts.get(key) for key in ("command", "created", "onsa_version")},
        "method": method,
        "settings": method.get("settings") or {},
        "steps": steps,
        "steps_text": f"{plural(len(steps), 'step')}, {reused} of them read back" if steps else "",
    }
