"""Trainings that end as by Ctrl-C, at a step that the test chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onsa.training.trainer import PlannedTrainer


def break_off_at(monkeypatch: pytest.MonkeyPatch, *calls: int) -> Callable[[], int]:
    """Break off where a step begins for one of these times, counted over all trainings; gives what
    counts them."""
    step, called = PlannedTrainer.training_step, 0

    def interrupted(*given: Any, **named: Any) -> Any:
        nonlocal called
        called += 1
        if called in calls:
            raise KeyboardInterrupt
        return step(*given, **named)

    monkeypatch.setattr(PlannedTrainer, "training_step", interrupted)
    return lambda: called
