"""Where the numbers come from: data, recipe, versions, machine, steps."""

from __future__ import annotations

from typing import Any

from onsa.report.scores import Facts, Score, metric_of
from onsa.report.words import number, plural


def tasks(facts: Facts) -> list[Facts] | None:
    return facts.get("tasks") or None


def prompts(facts: Facts) -> dict[str, Any] | None:
    """Where ways of asking were compared: the first row of each task as it was asked, and which
    prompt was chosen on training rows."""
    first = [
        {"label": label, "task": task, "messages": messages}
        for label, tasks in (facts.get("prompts") or {}).items()
        for task, messages in tasks.items()
    ]
    chosen = [
        {"task": task, **found, "tried": [_tried(found, each) for each in found.get("tried") or []]}
        for task, found in (facts.get("chosen_prompts") or {}).items()
    ]
    return {"first": first, "chosen": chosen} if first or chosen else None


def _tried(found: Facts, each: Facts) -> Facts:
    metric = metric_of({"metric": found.get("metric")}, [Score(number(each.get("mean")) or 0.0)])
    return {**each, "text": metric.text(number(each.get("mean")))}


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
