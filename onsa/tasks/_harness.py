"""Tasks of EleutherAI's lm-evaluation-harness: found by their names, and opened.

Its own objects give data, prompts and metrics. Written for version 0.4.13.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from onsa.errors import InputError, did_you_mean, shortened
from onsa.extras import import_extra

PACKAGE, EXTRA = "lm_eval", "lm_eval"
NAMED = 4  # tasks of a group in a message
# `task: arc_easy` at the beginning of a line, as the library's own files have it.
DECLARED = r"^[\"']?(?:task|group|tag)[\"']?\s*:\s*[\"']?{name}[\"']?\s*(?:#.*)?$"
OWN_CODE = re.compile(r"!function|^[\"']?class[\"']?\s*:", re.MULTILINE)


def library(module: str = "") -> Any:
    """The library, or one of its modules.

    Raises:
        InputError: it is not installed.
    """
    with quiet():
        return import_extra(f"{PACKAGE}.{module}" if module else PACKAGE, PACKAGE, EXTRA)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars, the log and the warnings of the library and those that it uses."""
    logging.getLogger(PACKAGE).setLevel(logging.CRITICAL)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


@cache
def open_task(
    name: str, include_path: str | None, trusted: bool, num_fewshot: int | None = None
) -> Any:
    """The library's object for one task, its data loaded; `include_path` is searched first.

    `num_fewshot` examples stand before each question, or as many as the task's own file says.
    `trusted`: Python code of `include_path` and of the hub may be run.

    Raises:
        InputError: there is no such task, it is a group, cannot be scored here, would run code
            that was not asked for, or its data are out of reach.
    """
    manager = _manager_that_knows(name, include_path)
    entry = manager.task_index[name]
    _refuse_groups(name, entry, manager)
    is_own = include_path is not None and entry.yaml_path.is_relative_to(include_path)
    _refuse_what_is_not_scored(entry.cfg)
    if not trusted:
        _refuse_code(entry, is_own)
    asked = {"task": name, **(_found_data(entry) if is_own else {})}
    with quiet(), _hub_code(trusted):
        try:
            # A group of one: the library's way to put something over a task's own file.
            loaded = manager.load({"group": "onsa", "task": [asked]})
        except InputError:
            raise
        except Exception as fault:  # of the network, the hub, the data or the task's own code
            raise _not_loaded(fault, is_own) from None
    (task,) = loaded["tasks"].values()
    _set_examples(task, num_fewshot)
    return task


def _set_examples(task: Any, wanted: int | None) -> None:
    """How many stand before each question, by the rule of the library's evaluator."""
    own = task.config.num_fewshot
    if own == 0 and wanted:
        raise InputError(
            f"num_fewshot is {wanted}, and the task's own file says 0 for good",
            way_out="take num_fewshot out",
        )
    task.set_config(key="num_fewshot", value=(own if wanted is None else wanted) or 0)


def _not_loaded(fault: Exception, is_own: bool) -> InputError:
    if is_own:
        return InputError(
            f"cannot be loaded ({shortened(fault)})",
            way_out="mend its file, or the paths of its data in it",
        )
    return InputError(
        f"its data cannot be loaded ({shortened(fault)})",
        way_out="they come from the hub and must have been loaded once with a network; or give a "
        "task file of your own with include_path",
    )


def _manager_that_knows(name: str, include_path: str | None) -> Any:
    """An index of tasks with this one in it: the user's own, the folder that has it, or all."""
    if include_path is not None and name in (own := _manager(include_path)).task_index:
        return own
    folder = _folder_of(name)
    if folder is not None and name in (near := _manager(folder)).task_index:
        return near
    everything = _manager(None)
    if name not in everything.task_index:
        known = set(everything.all_tasks)
        known |= set(own.all_tasks) if include_path is not None else set()
        raise InputError(
            f"lm-evaluation-harness has no task {name!r}", way_out=did_you_mean(name, known)
        )
    return everything


@cache
def _manager(folder: str | None) -> Any:
    """The library's index of the tasks below a folder; without one, of all its own."""
    found = library("tasks")
    with quiet():
        return found.TaskManager(include_path=folder, include_defaults=folder is None)


def _folder_of(name: str) -> str | None:
    """Where the library declares a task of this name: an index of everything takes half a minute,
    reading its files as text a second."""
    declared = re.compile(DECLARED.format(name=re.escape(name)).encode(), re.MULTILINE)
    home = Path(library("tasks").__file__).parent
    for path in sorted(home.glob("**/*.yaml")):
        content = path.read_bytes()
        if name.encode() in content and declared.search(content):
            return str(path.parent)
    return None


def _refuse_groups(name: str, entry: Any, manager: Any) -> None:
    if entry.kind.name not in ("GROUP", "TAG"):
        return
    members = entry.tags if entry.kind.name == "TAG" else _members(entry.cfg, manager)
    few = sorted(members)[:NAMED]
    more = f" and {len(members) - NAMED} more" if len(members) > NAMED else ""
    raise InputError(
        f"{name!r} is a group of tasks, and each is scored by itself",
        way_out=f"name one of them: {', '.join(few) or 'none is known'}{more}",
    )


def _members(group: Mapping[str, Any], manager: Any) -> set[str]:
    """The tasks of a group, those of the groups in it too, as far as they are known by name."""
    found: set[str] = set()
    for item in group.get("task") or []:
        name = str(item.get("task", item.get("group")) if isinstance(item, dict) else item)
        entry = manager.task_index.get(name)
        if entry is None:
            found.add(name)
        elif entry.kind.name == "GROUP":
            found |= _members(entry.cfg, manager)
        else:
            found |= entry.tags if entry.kind.name == "TAG" else {name}
    return found


def _refuse_what_is_not_scored(config: Mapping[str, Any]) -> None:
    if config.get("unsafe_code"):
        raise InputError(
            "runs programs that the model writes, unconfined",
            way_out="choose another task; kind 'code' runs programs in a confined process",
        )
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        raise InputError(
            "asks about pictures or sounds, and models read text here",
            way_out="choose another task",
        )


def _refuse_code(entry: Any, is_own: bool) -> None:
    """Code that comes with the user's files, or from the hub with a metric's name."""
    trust = "write 'trust_remote_code: true' if you trust it"
    if is_own and OWN_CODE.search(_text_with_includes(entry.yaml_path, set())):
        raise InputError("its file names Python code of its own, which would be run", way_out=trust)
    metrics = entry.cfg.get("metric_list") or []
    if any(isinstance(each, dict) and each.get("hf_evaluate") for each in metrics):
        raise InputError("its metric is Python code of the hub, which would be run", way_out=trust)


def _text_with_includes(path: Path, seen: set[Path]) -> str:
    """A task's file and all files that it includes."""
    if path in seen or not path.is_file():
        return ""
    seen.add(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    named = re.findall(r"^[\"']?include[\"']?\s*:(.*(?:\n\s*-.*)*)", text, re.MULTILINE)
    files = [word for each in named for word in re.findall(r"[^\s\"'\[\],]+", each) if word != "-"]
    return "\n".join([text, *(_text_with_includes(path.parent / name, seen) for name in files)])


def _found_data(entry: Any) -> dict[str, Any]:
    """The paths of an own task's data, taken from its file's folder where they are there: the
    library would take them from wherever it was started."""
    home = entry.yaml_path.parent
    changed: dict[str, Any] = {}
    path = entry.cfg.get("dataset_path")
    if isinstance(path, str) and (home / path).exists():
        changed["dataset_path"] = str(home / path)
    options = dict(entry.cfg.get("dataset_kwargs") or {})
    for key in ("data_files", "data_dir"):
        if key in options:
            options[key] = _absolute(options[key], home)
            changed["dataset_kwargs"] = options
    return changed


def _absolute(given: Any, home: Path) -> Any:
    if isinstance(given, dict):
        return {key: _absolute(value, home) for key, value in given.items()}
    if isinstance(given, list):
        return [_absolute(value, home) for value in given]
    if not isinstance(given, str) or not given or "://" in given or Path(given).is_absolute():
        return given
    return str(home / given) if any(home.glob(given)) else given


@contextlib.contextmanager
def _hub_code(trusted: bool) -> Iterator[None]:
    """Metrics that are programs of the hub are loaded in here only where they are trusted."""

    def refuse(name: Any, *_: Any, **__: Any) -> Any:
        raise InputError(
            f"its metric {name!r} is Python code of the hub, which would be run",
            way_out="write 'trust_remote_code: true' if you trust it",
        )

    evaluate: Any = import_extra("evaluate", PACKAGE, EXTRA)
    own = evaluate.load
    evaluate.load = own if trusted else refuse
    try:
        yield
    finally:
        evaluate.load = own
