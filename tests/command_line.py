"""The real command line, called in this process: `onsa("check", path)`."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from onsa import cli
from tests.conftest import write_rows

WORDS = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    def refused(self) -> str:
        """The one line that says what was wrong; anything else fails the test."""
        assert (self.code, self.out) == (2, ""), self
        assert self.err.startswith("onsa: "), self.err
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        assert "; " in self.err, f"no way out: {self.err}"
        return self.err


def onsa(*arguments: object, stdin: str = "") -> Ended:
    """Run `onsa` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["onsa", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def write_recipe(folder: Path, base: Path, /, **changes: Any) -> Path:
    """`recipe.yaml` with two small tasks and their data; a change to `...` takes a key out."""
    for name in ("echo", "upper"):
        rows = [
            {"prompt": f"{name} {word}", "completion": word.upper() if name == "upper" else word}
            for word in WORDS
        ]
        write_rows(folder / f"{name}.jsonl", rows)
    keys = {
        "model": str(base),
        "output": "run",
        "method": "full",
        "precision": "float32",
        "max_steps": 1,
        "tasks": [task("echo"), task("upper")],
        **changes,
    }
    keys = {key: value for key, value in keys.items() if value is not ...}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(keys, allow_unicode=True), encoding="utf-8")
    return path


def task(name: str, **changes: Any) -> dict[str, Any]:
    keys = {"name": name, "train": f"{name}.jsonl", "eval_rows": 4, "max_new_tokens": 4, **changes}
    return {key: value for key, value in keys.items() if value is not ...}
