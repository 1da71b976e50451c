"""The energy of a stretch of work, by the library codecarbon: an extra."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

from onsa.errors import InputError


class Energy:
    """The energy that a `with` block takes, in kWh, as codecarbon estimates it without a network:
    of this process by the processor's load, of accelerators by their own meters."""

    kwh: float | None = None

    def __init__(self, wanted: bool) -> None:
        self.tracker = _energy_tracker() if wanted else None

    def __enter__(self) -> Energy:
        if self.tracker is not None:
            self.tracker.start()
        return self

    def __exit__(self, *fault: object) -> None:
        if self.tracker is not None:
            self.tracker.stop()
            self.kwh = self.tracker.final_emissions_data.energy_consumed


def _energy_tracker() -> Any:
    require_codecarbon()
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").disabled = True  # it logs whatever its log_level says
    # The country only serves to turn energy into emissions, which we do not report.
    return OfflineEmissionsTracker(
        country_iso_code="JPN",
        save_to_file=False,
        tracking_mode="process",
        allow_multiple_runs=True,
        log_level="critical",
    )


def require_codecarbon() -> None:
    """Refuse to measure energy without the library that does."""
    if importlib.util.find_spec("codecarbon") is None:
        raise InputError(
            "energy is measured by the library 'codecarbon'",
            where="energy",
            way_out="pip install 'onsa[energy]', or leave the key out",
        )
