"""`report.json`, `report.html` and the model card, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onsa.files import write_json, write_text
from onsa.report.model_card import model_card
from onsa.report.pages.tuning import render


def write_report(folder: Path, facts: dict[str, Any]) -> None:
    """Write the figures, the page made from them, and the card beside the model."""
    write_json(folder / "report.json", facts)
    write_text(folder / "report.html", render(facts))
    if (folder / "model").is_dir():
        write_text(folder / "model" / "README.md", model_card(facts))
