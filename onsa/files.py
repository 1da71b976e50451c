"""Files that are either whole or not there: write beside, then rename."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onsa.errors import InputError


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """Yield a path next to `path`; on success it becomes `path`, on failure it is removed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with write_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    # allow_nan=False: NaN is not JSON, and a NaN that gets this far is a fault to be seen.
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file that onsa or transformers wrote.

    Raises:
        InputError: it holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:
        raise InputError(
            f"not readable as JSON ({fault})", where=path, way_out="restore or delete it"
        ) from None
    if not isinstance(value, dict):
        raise InputError("holds no JSON object", where=path, way_out="restore or delete it")
    return value


def publish_folder(beside: Path, path: Path) -> None:
    """Put the finished folder `beside` in the place of `path`, which may hold an older one."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    beside.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def digest_of_json(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form (sorted keys), as hexadecimal."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/onsa`, by default `~/.cache/onsa`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onsa"
