"""Data sets by their names on the Hugging Face hub: `org/name`, `org/name:config@split`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onsa.data.files import Row, ending_of
from onsa.data.files._arrow import BATCH_ROWS, broken_told, rows_of_batch
from onsa.errors import InputError
from onsa.extras import import_extra

NAME = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<config>[\w.-]+))?(?:@(?P<split>[\w.-]+))?",
    re.ASCII,
)


def is_hub_name(text: str, base_folder: Path) -> bool:
    """Whether it reads like a name on the hub, and nothing here is meant by it."""
    found = NAME.fullmatch(text)
    if found is None or ending_of(text):
        return False
    return not (base_folder / text.split("/")[0]).exists()


def hub_rows(text: str) -> Iterator[tuple[Row, str]]:
    """The rows of a data set of the hub, from its copy on disk.

    Raises:
        InputError: there is none, the hub is out of reach, or several splits are meant.
    """
    asked = NAME.fullmatch(text)
    assert asked is not None
    table = _one_split(_load(asked["name"], asked["config"], asked["split"], text), text)
    classes = {
        column: feature.names
        for column, feature in table.features.items()
        if hasattr(feature, "names")
    }
    number = 0
    with broken_told(text):
        for batch in table.with_format("arrow").iter(BATCH_ROWS):
            for row in rows_of_batch(batch, text, classes):
                number += 1
                yield row, f"{text}:{number}"


def _load(name: str, config: str | None, split: str | None, text: str) -> Any:
    library = import_extra("datasets", "datasets", "data")
    library.disable_progress_bars()
    try:
        return library.load_dataset(name, config, split=split)
    except Exception as fault:  # of the network, of the hub, of the data: of many types
        reason = " ".join(str(fault).split())[:200]
        raise InputError(
            f"is no file here, and the hub gave no such data set ({reason})",
            where=text,
            way_out="check the path, or the name: 'org/name:config@split'; without a network it "
            "must have been loaded before",
        ) from None


def _one_split(found: Any, text: str) -> Any:
    """The table that was asked for, or the only one there is."""
    if not isinstance(found, dict):
        return found
    if len(found) != 1:
        raise InputError(
            f"has the splits {', '.join(map(str, found))}",
            where=text,
            way_out=f"name one: '{text}@{next(iter(found), 'train')}'",
        )
    return next(iter(found.values()))
