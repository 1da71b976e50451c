"""The folder of a run and its memory.

`run.step(name, function, **inputs)` calls the function once: its result is kept under the digest of
what it was made from, and the same step with the same inputs is read back, not run again. So a
killed run goes on where it was, and a changed setting repeats only what depends on it.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from onsa import __version__
from onsa.adapter import Adapter, Tuned
from onsa.errors import InputError
from onsa.files import digest_of_json, publish_folder, read_json, write_json
from onsa.masks import ParameterMask
from onsa.models.saving import copy_companions
from onsa.progress import Progress, clock
from onsa.resources import release_memory
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.data.encoding import Encoder
    from onsa.recipe.schema import Recipe
    from onsa.tasks import Task

Result = TypeVar("Result")
MASK_FILE = "mask.safetensors"


class Step:
    """The folder a step writes to, and its notebook. A killed step finds its folder again."""

    def __init__(self, name: str, folder: Path, run: Run) -> None:
        self.name = name
        self.folder = folder
        self.run = run
        self.progress = run.progress
        self.facts: dict[str, Any] = {}

    def note(self, **facts: Any) -> None:
        """Keep JSON facts about how the result came about, for the report."""
        self.facts.update(facts)

    def complete(self, weights: Weights) -> Weights:
        """Make a folder of bare weights a whole Hugging Face folder."""
        copy_companions(self.run.companions, weights.folder)
        return weights


@dataclasses.dataclass(frozen=True)
class StepRecord:
    """A finished step, as the report reads it."""

    name: str
    digest: str
    folder: Path
    facts: dict[str, Any]
    seconds: float
    reused: bool
    path: str  # the way of tuning it belongs to: the method's name, or a baseline's label


@dataclasses.dataclass(frozen=True)
class Stage:
    """Weights on the way of a method, whose scores show how each task fares."""

    path: str
    label: str
    weights: Tuned
    tasks: Sequence[Task] | None = None  # asked in another way than the run's own


class Run:
    """A run's folder, its base model, its tasks, and what its steps gave.

    The attributes without a value are set by whoever opens the run (`onsa.prepare`).
    """

    recipe: Recipe
    base: Weights
    companions: Path  # the folder with the base's config and tokenizer files
    encoder: Encoder
    tasks: Sequence[Task] = ()
    untrained_tasks: Sequence[Task] = ()  # scored only

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder
        self.progress = progress or Progress(quiet=True)
        self.path = ""
        self.energy = False  # whether trainings measure what they take
        self.about_method: dict[str, Any] = {}
        self.specialists: set[str] = set()  # paths that end in one model for each task
        self.history: list[StepRecord] = []
        self.stages: list[Stage] = []
        self.starts: dict[str, Weights] = {}  # by path, where it made another model of the base
        self.findings: dict[str, Any] = {}
        self.notes: list[str] = []
        self.cores: dict[str, ParameterMask] = {}  # of its tasks, where the method found them
        self._made_by: dict[int, tuple[Any, str]] = {}
        self._lock = _lock(folder)

    def release(self) -> None:
        """Let go of the run's lock; what the run knows can still be read."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def __fspath__(self) -> str:
        return str(self.folder)

    def stage(self, label: str, weights: Tuned, tasks: Sequence[Task] | None = None) -> None:
        """Mark weights on the way, to be scored on all tasks, or on these that stand for them."""
        self.stages.append(Stage(self.path, label, weights, tasks))

    def find(self, **sections: Any) -> None:
        """Keep findings of the method for the report, by the names of its sections."""
        self.findings.update(sections)

    def warn(self, note: str) -> None:
        """Say something that a person should know, now and in the report."""
        if note not in self.notes:
            self.notes.append(note)
            self.progress.say(f"note: {note}")

    def trained_tokens(self, path: str) -> int:
        """Reply tokens that the trainings of one way of tuning saw."""
        return sum(r.facts.get("trained_tokens", 0) for r in self.history if r.path == path)

    def step(self, name: str, function: Callable[..., Result], **inputs: Any) -> Result:
        """The result of `function(step, **inputs)`, from the run's memory where it is known.

        Results are `Weights` or an `Adapter` of the run's base written below `step.folder`, a
        `ParameterMask`, plain JSON, or dictionaries of these. Inputs are the same, settings, or
        values with a `digest`.
        """
        digest = self._digest(function, inputs)
        folder = self.folder / "steps" / name / digest[:20]
        reused = (folder / "result.json").is_file()
        if not reused:
            self._make(name, function, inputs, folder)
        kept = read_json(folder / "result.json")
        record = StepRecord(name, digest, folder, kept["facts"], kept["seconds"], reused, self.path)
        self.history.append(record)
        self.progress.say(f"{name}: {'kept from before' if reused else clock(record.seconds)}")
        result = self._read_back(kept["result"], folder)
        self._remember(result, digest)
        return result

    def record_of(self, value: Any) -> str | None:
        """The digest of the step that made `value`, if one of this run's steps did."""
        known = self._made_by.get(id(value))
        return known[1] if known else None

    def _make(self, name: str, function: Callable[..., Any], inputs: Any, folder: Path) -> None:
        partial = folder.with_name(f".{folder.name}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        step = Step(name, partial, self)
        release_memory()
        started = time.monotonic()
        try:
            result = _write_down(function(step, **inputs), partial)
        except Exception as fault:
            raise _full_disk(fault, self.folder) or fault from None
        seconds = round(time.monotonic() - started, 3)
        kept = {"step": name, "result": result, "facts": step.facts, "seconds": seconds}
        write_json(partial / "result.json", kept)
        publish_folder(partial, folder)

    def _read_back(self, value: Any, folder: Path) -> Any:
        if isinstance(value, dict):
            if "$weights" in value:
                return Weights(folder / value["$weights"])
            if "$adapter" in value:
                return Adapter(folder / value["$adapter"], self.base)
            if "$mask" in value:
                return ParameterMask.load(folder / value["$mask"])
            return {key: self._read_back(item, folder) for key, item in value.items()}
        if isinstance(value, list):
            return [self._read_back(item, folder) for item in value]
        return value

    def _digest(self, function: Callable[..., Any], inputs: dict[str, Any]) -> str:
        made_from = {name: self._identity(value) for name, value in inputs.items()}
        return digest_of_json([__version__, function.__qualname__, made_from])

    def _identity(self, value: Any) -> Any:
        """A JSON value that stands for `value`: equal for equal content."""
        if (digest := self.record_of(value)) is not None:
            return {"step": digest}
        if isinstance(value, pydantic.BaseModel):
            return value.model_dump(mode="json")
        if hasattr(value, "digest"):
            return {"digest": value.digest}
        if isinstance(value, dict):
            return {str(key): self._identity(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._identity(item) for item in value]
        assert value is None or isinstance(value, str | int | float | bool), type(value)
        return value

    def _remember(self, value: Any, digest: str, path: str = "") -> None:
        if isinstance(value, Weights | Adapter | ParameterMask):
            self._made_by[id(value)] = (value, digest + path)  # holds the value: ids are reused
        elif isinstance(value, dict):
            for key, item in value.items():
                self._remember(item, digest, f"{path}/{key}")


def claim_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Make `folder` the folder of the run that `identity` describes.

    Raises:
        InputError: it holds something else, another run, or cannot be written.
    """
    marker = folder / "run.json"
    if marker.is_file():
        found = read_json(marker)
        for key, value in identity.items():
            if found.get(key) != value:
                raise InputError(
                    f"holds another run (its {key}: {_short(found.get(key))}, not {_short(value)})",
                    where=folder,
                    way_out="choose another 'output', or delete that folder",
                )
        return
    if folder.exists() and any(item.name != ".lock" for item in folder.iterdir()):
        raise InputError(
            "is not empty and holds no run", where=folder, way_out="choose another 'output'"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(marker, identity)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _lock(folder: Path) -> int | None:
    """Hold the run's lock; a process that ends, however it ends, lets go of it."""
    try:
        import fcntl
    except ImportError:  # not on Windows; two processes in one run are then not noticed
        return None
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise InputError(
            "another process is working on this run",
            where=folder,
            way_out="wait for it, or end it",
        ) from None
    return file


def _write_down(value: Any, folder: Path, path: str = "") -> Any:
    """The JSON form of a result; masks are saved, weights are named by their place."""
    if isinstance(value, Weights):
        return {"$weights": str(value.folder.relative_to(folder))}
    if isinstance(value, Adapter):
        return {"$adapter": str(value.folder.relative_to(folder))}
    if isinstance(value, ParameterMask):
        name = f"{path.replace('/', '.')}{MASK_FILE}"
        value.save(folder / name)
        return {"$mask": name}
    if isinstance(value, dict):
        return {key: _write_down(item, folder, f"{path}{key}/") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_write_down(item, folder, f"{path}{n}/") for n, item in enumerate(value)]
    return value


def _full_disk(fault: Exception, folder: Path) -> InputError | None:
    """Libraries report a full disk in many ways; look at the disk itself."""
    full = isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)
    if not full and (isinstance(fault, InputError) or shutil.disk_usage(folder).free > 2**20):
        return None
    return InputError(
        "the disk is full",
        where=folder,
        way_out="free some space and start the same command again: finished steps are kept",
    )
