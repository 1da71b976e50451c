"""Programs that a model wrote, run against tests in a confined process of their own.

What confines them is in `_confined_child.py`. A program passes when it and its tests ran to their
end: the process then says a token that was drawn for it, so that leaving early (`os._exit(0)`) is
no pass. A program that looks for the token in the memory of its own process can find it: this keeps
mistakes and carelessness from counting, not a reply that was made to cheat.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from onsa.errors import InputError
from onsa.progress import Advance, no_advance

CHILD = Path(__file__).with_name("_confined_child.py")
GRACE = 5.0  # seconds beyond the limit, for starting and ending on a busy machine
MOST_OUTPUT = 4096  # bytes that are read of a process
FILE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Limits:
    seconds: float = 10.0
    memory_bytes: int = 512 * 2**20
    file_bytes: int = FILE_BYTES
    namespaces: bool = True  # Linux's; without, Python alone refuses


@dataclass(frozen=True)
class Program:
    """Readings of a reply, of which the first that is Python is run, and the tests after it."""

    readings: tuple[str, ...]
    tests: str


@dataclass(frozen=True)
class Outcome:
    """Whether the tests passed, why not, and how the program was confined."""

    passed: bool
    why: str = ""
    confinement: str = ""


def run_all(
    programs: Sequence[Program], limits: Limits, advance: Advance = no_advance
) -> list[Outcome]:
    """The outcomes of programs, as many at once as there are processors."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(max_workers=cores or 1) as pool:
        outcomes = []
        for outcome in pool.map(lambda program: run_confined(program, limits), programs):
            outcomes.append(outcome)
            advance(1)
        return outcomes


def run_confined(program: Program, limits: Limits) -> Outcome:
    """Run one program against its tests."""
    token = secrets.token_hex(16)
    order = {
        "programs": program.readings,
        "tests": program.tests,
        "token": token,
        "seconds": limits.seconds,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        "namespaces": limits.namespaces,
        "number": secrets.randbits(30),
    }
    with tempfile.TemporaryDirectory(prefix="onsa-", ignore_cleanup_errors=True) as folder:
        told = _told(json.dumps(order).encode("utf-8", "surrogatepass"), folder, limits.seconds)
    confinement, _, rest = told.partition("\n")
    if rest == f"{token}\n":
        return Outcome(True, "", confinement)
    return Outcome(False, rest.strip() or "ended, or was ended, before its tests", confinement)


@cache
def has_namespaces() -> bool:
    """Whether programs can have namespaces of their own here."""
    return _tried(Limits()).confinement == "namespaces"


@cache
def confinement() -> str:
    """How programs are confined here, in words.

    Raises:
        InputError: they cannot be.
    """
    if os.name != "posix":
        raise InputError(
            "replies are run on Linux and macOS only", way_out="use kind 'codebleu' here"
        )
    if has_namespaces():
        return (
            "in namespaces of Linux: no network, no other process, all files read-only but an "
            "empty folder in memory"
        )
    tried = _tried(Limits(namespaces=False))
    if not tried.passed:
        raise InputError(
            f"no program can be run confined here ({tried.why})", way_out="use kind 'codebleu'"
        )
    return (
        "by Python's audit hook alone, which native code could pass by: no sockets, no processes, "
        "no writing but in an empty folder"
    )


def _tried(limits: Limits) -> Outcome:
    tried = run_confined(Program(("import json, math",), "assert json and math"), limits)
    return tried if tried.passed else Outcome(False, tried.why)


def _told(order: bytes, folder: str, seconds: float) -> str:
    """The first bytes that the process says; it and what it started are gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(CHILD)],
        cwd=folder,
        env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(order)
        return _read(process.stdout.fileno(), time.monotonic() + seconds + GRACE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def _read(stream: int, deadline: float) -> str:
    """What comes out until its end, the deadline, or `MOST_OUTPUT`."""
    found = b""
    with selectors.DefaultSelector() as ready:
        ready.register(stream, selectors.EVENT_READ)
        while len(found) < MOST_OUTPUT and ready.select(max(0.0, deadline - time.monotonic())):
            part = os.read(stream, MOST_OUTPUT)
            if not part:
                break
            found += part
    return found.decode("utf-8", "replace")
