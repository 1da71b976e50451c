"""Which files a path in a recipe names: a file, a folder, a glob, each with or without a slice."""

from __future__ import annotations

import difflib
import glob
import json
import os
import re
from pathlib import Path
from typing import NoReturn

from onsa.data.files import all_file_kinds, ending_of, faults_told
from onsa.errors import InputError

SLICE = re.compile(r"(?P<path>.+)#(?:(?P<start>\d{0,12}):)?(?P<stop>\d{0,12})", re.DOTALL)
SPLIT_NAME = re.compile(r"(?<![a-z])(train|test|dev|valid|validation|eval)(?![a-z])", re.I)
MOST_NAMED = 3  # sources that a message names before it says how many more there are


def named(sources: list[str]) -> str:
    """A few of the sources, and how many more there are."""
    more = len(sources) - MOST_NAMED
    return ", ".join(sources[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def without_slice(path: str, base_folder: Path) -> tuple[str, int, int | None]:
    """The path, and which rows of it; a `#` in the name of a file that exists is no slice."""
    found = SLICE.fullmatch(path)
    if found is None or os.path.exists(base_folder / path):  # noqa: PTH110  (never raises)
        return path, 0, None
    start, stop = int(found["start"] or 0), int(found["stop"]) if found["stop"] else None
    if not (found["start"] or found["stop"]) or (stop is not None and stop <= start):
        raise InputError(
            "a slice without rows",
            where=printable(path),
            way_out="write #500 for the first 500, or #200:700",
        )
    return found["path"], start, stop


def find_files(text: str, base_folder: Path) -> list[Path]:
    """The data files that a path, folder or glob names, in the order of their names."""
    shown = printable(text)
    if "://" in text:
        raise InputError("a web address", where=shown, way_out="download the file, give its path")
    if not text.strip() or "\0" in text:
        raise InputError("not a path", where=shown, way_out="give a file, a folder or a glob")
    text = os.path.expanduser(text)  # noqa: PTH111  (Path's own raises for unknown users)
    place = base_folder / text
    with faults_told(shown):
        if place.is_dir():
            return _saved(place, shown) or _files_below(place, shown)
        if place.is_file():
            return [place]
        if place.exists():
            raise InputError("not a plain file", where=shown, way_out="give a file or a folder")
        matching = sorted(glob.glob(text, root_dir=base_folder, recursive=True))  # noqa: PTH207
        files = [base_folder / name for name in matching if (base_folder / name).is_file()]
    return files or _nothing_there(place, shown)


def _saved(folder: Path, shown: str) -> list[Path]:
    """The tables of a folder that `datasets.save_to_disk` wrote; none if it did not."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(each.parent.name for each in folder.glob("*/state.json"))
        if len(splits) != 1:
            raise InputError(
                f"the folder holds the splits {', '.join(map(printable, splits)) or '(none)'}",
                where=shown,
                way_out=f"name one: '{shown}/{printable(splits[0]) if splits else 'train'}'",
            )
        folder = folder / splits[0]
    if not (folder / "dataset_info.json").is_file() or not (folder / "state.json").is_file():
        return []
    return [folder / name for name in _tables(folder / "state.json", shown)]


def _tables(state: Path, shown: str) -> list[str]:
    try:
        files = json.loads(state.read_text(encoding="utf-8"))["_data_files"]
        names = [entry["filename"] for entry in files]
        plain = [re.fullmatch(r"[\w-]+\.arrow", name) for name in names]
    except (ValueError, KeyError, TypeError, RecursionError):
        plain = [None]
    if not all(plain):
        raise InputError(
            "its state.json names no tables", where=shown, way_out="save the data set anew"
        )
    return names


def _nothing_there(place: Path, shown: str) -> NoReturn:
    try:
        near = difflib.get_close_matches(place.name, os.listdir(place.parent), n=1)  # noqa: PTH208
    except (OSError, ValueError):
        near = []
    way_out = f"did you mean {near[0]!r}?" if near else "paths count from the recipe's folder"
    raise InputError("no such file", where=shown, way_out=way_out)


def _files_below(folder: Path, shown: str) -> list[Path]:
    def stop(fault: OSError) -> NoReturn:
        raise fault  # os.walk would leave an unreadable folder out without a word

    found = [
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=stop)
        for name in names
        if ending_of(name) and not name.startswith(".")
    ]
    if not found:
        raise InputError(
            "no data in the folder",
            where=shown,
            way_out=f"it needs files in {', '.join(all_file_kinds())}",
        )
    splits = sorted(file.name for file in found if SPLIT_NAME.search(file.name))
    if splits and len(found) > 1:
        # Training and test rows read together would make every score a lie.
        raise InputError(
            f"the folder holds {named(splits)}", where=shown, way_out="name the one you mean"
        )
    return sorted(found)


def shown_path(file: Path, base_folder: Path) -> str:
    """The file's name for messages: from the base folder where it is inside."""
    inside = file.relative_to(base_folder) if file.is_relative_to(base_folder) else file
    return printable(str(inside))


def printable(text: str) -> str:
    """Names of files may hold bytes that are no text; those are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
