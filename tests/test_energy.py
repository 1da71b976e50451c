"""Energy is measured where it is wished for, and refused in one line where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import onsa
from onsa.errors import InputError
from onsa.files import read_json

Keys = Callable[..., dict[str, Any]]


def test_without_the_library_it_is_refused_before_anything_is_trained(
    recipe: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str, *more: Any) -> Any:
        return None if name == "codecarbon" else find_spec(name, *more)

    monkeypatch.setattr("importlib.util.find_spec", found)
    keys = recipe(method="full", energy=True)
    with pytest.raises(InputError, match=r"pip install 'onsa\[energy\]'"):
        onsa.tune(**keys)
    assert not Path(keys["output"]).exists()


@pytest.mark.filterwarnings("ignore")  # the library's own
def test_with_it_there_are_kilowatt_hours(recipe: Keys, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("codecarbon", reason="needs the extra 'energy'")
    run = onsa.tune(**recipe(method="full", energy=True))
    results = {row["label"]: row for row in read_json(run / "report.json")["results"]}
    assert 0 < results["full"]["energy_kwh"] < 1e-3
    assert "codecarbon" not in "".join(capfd.readouterr())
