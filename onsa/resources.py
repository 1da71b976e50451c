"""What this machine is, and how much memory a stretch of work took at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import sys
from pathlib import Path
from typing import Any


class PeakMemory:
    """The peak of memory inside a `with` block, in bytes: the accelerator's where there is one,
    else this process's resident memory."""

    bytes: int = 0

    def __enter__(self) -> PeakMemory:
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        else:
            _give_back_freed()
            _reset_resident_peak()
        return self

    def __exit__(self, *fault: object) -> None:
        import torch

        if torch.cuda.is_available():
            self.bytes = torch.cuda.max_memory_allocated()
        else:
            self.bytes = _resident_peak()


def release_memory() -> None:
    """Free what ended work has left behind, so that what comes next has room.

    A trainer, its model and its optimizer hold each other: nothing but the garbage collector frees
    them, and of so few objects it does not think of itself.
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    _give_back_freed()


def _give_back_freed() -> None:
    """To the system: the C library keeps what was freed for itself."""
    # Elsewhere than with glibc there is no such call.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_resident_peak() -> None:
    # Elsewhere than on Linux the peak is that of the whole process so far.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)


def _resident_peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in bytes, accelerator."""
    import torch

    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": total_memory_bytes(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def total_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Python and the libraries that decide results."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("onsa", "torch", "transformers", "accelerate", "safetensors", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    return found
