"""All benchmarks as one table: `python -m benchmarks` (a quarter of an hour on two cores)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks import (
    HEAD,
    Ratio,
    encoding,
    generation,
    green,
    inspection,
    scoring,
    startup,
    step,
    trainer,
)

FUSION = "python -m benchmarks.fusion"


def fusion() -> list[Ratio]:
    """What `benchmarks.fusion` prints, in a process of its own: it measures memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fusion"], check=True, stdout=subprocess.PIPE, text=True
    )
    found = re.findall(
        r"inputs from (\w+).*?total +[\d.]+ +([\d.]+)\nmemory growth +(\d+) MB of (\d+) MB",
        done.stdout,
        re.DOTALL,
    )
    assert found, f"benchmarks.fusion printed no table:\n{done.stdout}"
    ratios = []
    for place, times, grown, most in found:
        for what, value, bound in (
            (f"cores, groups, fusion / reading and writing, from {place}", float(times), 3.0),
            (f"memory of it / 4 largest tensors + 256 MB, from {place}", int(grown) / int(most), 1),
        ):
            ratios.append(Ratio(what, value, value, value, bound))
    return ratios


BENCHMARKS: tuple[tuple[str, Callable[[], list[Ratio]]], ...] = (
    ("python -m benchmarks.startup", startup.measure),
    ("python -m benchmarks.step", step.measure),
    ("python -m benchmarks.green", green.measure),
    ("python -m benchmarks.scoring", scoring.measure),
    ("python -m benchmarks.generation", generation.measure),
    ("python -m benchmarks.encoding", encoding.measure),
    ("python -m benchmarks.trainer", trainer.measure),
    ("python -m benchmarks.inspection", inspection.measure),
    (FUSION, fusion),
)


def lines() -> Iterator[str]:
    cores, busy = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    note = "; not quiet: repeat it later" if busy > cores / 4 else ""
    yield f"{cores} cores, load {busy:.1f} before the start{note}"
    yield f"{HEAD:<90}  alone by"
    for command, measure in BENCHMARKS:
        for ratio in measure():
            yield f"{ratio!s:<90}  {command}"


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
