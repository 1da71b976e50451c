"""What a person sees while they wait: one line a step, a bar with the time left.

On a terminal the bar moves; into a file or a pipe goes a line at most every ten seconds. Trainings
also say how long all trainings of the run will still take, by the tokens that are to come.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from onsa.language import tell

Advance = Callable[[int], None]
SECONDS_BETWEEN_LINES = 10.0


def no_advance(n: int) -> None:
    """Nobody waits."""


def in_pieces(advance: Advance, total: int, pieces: int) -> Advance:
    """To be called for each of so many pieces; what they make of `total` is handed on."""
    seen = 0

    def advanced(n: int) -> None:
        nonlocal seen
        before, seen = seen, seen + n
        advance(total * seen // pieces - total * before // pieces)

    return advanced


@dataclass
class Tokens:
    """Tokens of all trainings of a run: to come, and done in so many seconds."""

    to_come: int
    done: int = 0
    seconds: float = 0.0

    def seconds_left(self, done_now: float, seconds_now: float) -> float:
        """With so many tokens of a training under way, begun so many seconds ago."""
        speed = (self.done + done_now) / (self.seconds + seconds_now)
        return max(0.0, self.to_come - done_now) / speed


class Progress:
    """Writes to standard error, so that standard output stays free for results."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.started = time.monotonic()
        self._tokens: Tokens | None = None

    def say(self, text: str) -> None:
        if not self.quiet:
            time_passed = clock(time.monotonic() - self.started)
            print(f"{time_passed}  {tell(text)}", file=sys.stderr, flush=True)

    def expect(self, tokens: int | None) -> None:
        """So many tokens will be trained in all; None where that is not known."""
        self._tokens = Tokens(tokens) if tokens else None

    def skip(self, tokens: int) -> None:
        """So many of the expected tokens were trained before."""
        if self._tokens is not None:
            self._tokens.to_come -= tokens

    @contextmanager
    def track(
        self, what: str, total: int, unit: str = "", done: int = 0, tokens: int = 0
    ) -> Iterator[Advance]:
        """Yield `advance(n)`, to be called as the work goes on.

        Args:
            done: of `total`, done before.
            tokens: of those expected in all trainings, what the rest of this work trains.
        """
        watch = Watch(total, done, tokens, self._tokens)
        if self.quiet or total <= 0:
            yield watch.advance
        elif sys.stderr.isatty():
            with _bar(what, unit, watch) as advance:
                yield advance
        else:
            yield self._lines(what, unit, watch)
        if tokens and self._tokens is not None:
            self._tokens.to_come -= tokens
            self._tokens.done += tokens
            self._tokens.seconds += watch.seconds

    def _lines(self, what: str, unit: str, watch: Watch) -> Advance:
        said = time.monotonic()

        def advance(n: int) -> None:
            nonlocal said
            watch.advance(n)
            now = time.monotonic()
            if now - said >= SECONDS_BETWEEN_LINES:
                said = now
                left, in_all = clock(watch.seconds_left), watch.in_all
                more = f"; all trainings: {in_all}" if in_all else ""
                done = f"{watch.done} of {watch.total}"
                self.say(f"  {what}: {done} {tell(unit)}, {left} left{more}")

        return advance


class Watch:
    """How far one piece of work has come, and how long it and all trainings will still take."""

    def __init__(self, total: int, done: int, tokens: int, all_tokens: Tokens | None) -> None:
        self.total = total
        self.done = self.before = done
        self.tokens = tokens
        self.all_tokens = all_tokens
        self.started = time.monotonic()

    def advance(self, n: int) -> None:
        self.done += n

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float:
        return self.seconds / max(self.done - self.before, 1) * (self.total - self.done)

    @property
    def in_all(self) -> str:
        """The time left of all trainings, where this is one of several, else nothing."""
        if not self.tokens or self.all_tokens is None or self.done == self.before:
            return ""
        done = self.tokens * (self.done - self.before) / (self.total - self.before)
        left = self.all_tokens.seconds_left(done, self.seconds)
        return clock(left)


@contextmanager
def _bar(what: str, unit: str, watch: Watch) -> Iterator[Advance]:
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
        TextColumn(tell(unit)),
        TimeElapsedColumn(),
        TextColumn(tell("left")),
        TimeRemainingColumn(),
        TextColumn("{task.fields[in_all]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=watch.total, completed=watch.done, in_all="")

        def advance(n: int) -> None:
            watch.advance(n)
            in_all = watch.in_all
            more = tell(f"; all trainings: {in_all}") if in_all else ""
            bars.update(bar, advance=n, in_all=more)

        yield advance


def clock(seconds: float) -> str:
    """`12:05`, or `3:12:05` from an hour on."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
