"""`report.json`, `report.html` and the model card, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onsa.errors import InputError
from onsa.files import read_json, write_json, write_text
from onsa.report.model_card import model_card
from onsa.report.page import render


def write_report(folder: Path, facts: dict[str, Any]) -> None:
    """Write the figures, the page made from them, and the card beside the model."""
    write_json(folder / "report.json", facts)
    write_text(folder / "report.html", render(facts))
    if (folder / "model").is_dir():
        write_text(folder / "model" / "README.md", model_card(facts))


def rewrite_report(folder: Path) -> None:
    """Make the page anew from the figures of a finished run."""
    if not (folder / "report.json").is_file():
        raise InputError(
            "holds no finished run", where=folder, way_out="give the folder that 'onsa tune' wrote"
        )
    write_text(folder / "report.html", render(read_json(folder / "report.json")))
