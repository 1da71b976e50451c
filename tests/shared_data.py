"""The public data sets beside the project: tests on them are skipped where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(
    os.environ.get("ONSA_SHARED_DATA") or Path(__file__).parents[1].parent / "shared" / "data"
)
needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the public data sets are not here (ONSA_SHARED_DATA)"
)
