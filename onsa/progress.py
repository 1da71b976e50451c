"""What a person sees while they wait: one line a step, a bar with the time left.

On a terminal the bar moves; into a file or a pipe goes a line at most every ten seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Writes to standard error, so that standard output stays free for results."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        if not self.quiet:
            print(f"{clock(time.monotonic() - self.started)}  {text}", file=sys.stderr, flush=True)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Yield `advance(n)`, to be called as the work goes on."""
        if self.quiet or total <= 0:
            yield lambda n: None
        elif sys.stderr.isatty():
            with _bar(what, total, unit) as advance:
                yield advance
        else:
            yield self._lines(what, total, unit)

    def _lines(self, what: str, total: int, unit: str) -> Advance:
        started = said = time.monotonic()
        done = 0

        def advance(n: int) -> None:
            nonlocal done, said
            done += n
            now = time.monotonic()
            if now - said >= SECONDS_BETWEEN_LINES:
                said = now
                left = (now - started) / max(done, 1) * (total - done)
                self.say(f"  {what}: {done} of {total} {unit}, {clock(left)} left")

        return advance


@contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("       {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda n: bars.advance(bar, n)


def clock(seconds: float) -> str:
    """`12:05`, or `3:12:05` from an hour on."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
