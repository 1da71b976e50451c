"""What a person sees while they wait, against hand-worked times."""

from __future__ import annotations

from typing import Any

import pytest

from onsa import progress as module
from onsa.progress import Progress, clock


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_a_line_at_most_every_ten_seconds(watch: Clock, capsys: Any) -> None:
    with Progress().track("work", 10, "rows") as advance:
        for _ in range(10):
            watch.now += 4
            advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "00:12    work: 3 of 10 rows, 00:28 left",
        "00:24    work: 6 of 10 rows, 00:16 left",
        "00:36    work: 9 of 10 rows, 00:04 left",
    ]


def test_time_left_of_all_trainings(watch: Clock, capsys: Any) -> None:
    """900 tokens at 10 a second; 100 of them were trained before this start."""
    progress = Progress()
    progress.expect(900)
    progress.skip(100)
    with progress.track("first", 4, "steps", tokens=200) as advance:
        for _ in range(4):
            watch.now += 5
            advance(1)
    watch.now += 60  # scoring in between does not count
    with progress.track("second", 20, "steps", done=10, tokens=300) as advance:
        watch.now += 15
        advance(5)
    assert capsys.readouterr().err.splitlines() == [
        "00:10    first: 2 of 4 steps, 00:10 left; all trainings: 01:10",
        "00:20    first: 4 of 4 steps, 00:00 left; all trainings: 01:00",
        "01:35    second: 15 of 20 steps, 00:15 left; all trainings: 00:45",
    ]


def test_nothing_is_said_of_all_where_their_number_is_not_known(watch: Clock, capsys: Any) -> None:
    progress = Progress()
    progress.expect(None)
    progress.skip(10)
    with progress.track("only", 2, "steps", tokens=20) as advance:
        watch.now += 11
        advance(1)
    assert "all trainings" not in capsys.readouterr().err


def test_the_clock_shows_hours_from_one_on() -> None:
    assert [clock(s) for s in (0.4, 59.6, 3599, 3600)] == ["00:00", "01:00", "59:59", "1:00:00"]
