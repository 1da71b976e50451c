"""A small set of trained tensors over a base model that stays as it is, in PEFT's own format."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from onsa.errors import InputError
from onsa.files import read_json
from onsa.weights import Weights

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
BASE_FILE = "base.json"  # beside them where the base was not held as floats in training


class Adapter:
    """An adapter folder (`adapter_config.json`, `adapter_model.safetensors`) and its base."""

    def __init__(self, folder: str | Path, base: Weights) -> None:
        self.folder = Path(folder)
        self.base = base
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            if not (self.folder / name).is_file():
                raise InputError(
                    f"holds no {name}", where=self.folder, way_out="give the folder of an adapter"
                )

    @property
    def stored_bytes(self) -> int:
        """What it weighs on disk; the base is not in it."""
        return (self.folder / WEIGHTS_FILE).stat().st_size

    @cached_property
    def quantization(self) -> str | None:
        """How its base was held in training, and is held in use; None: as floats."""
        if not (self.folder / BASE_FILE).is_file():
            return None
        kind = read_json(self.folder / BASE_FILE).get("quantization")
        if kind != "nf4":
            raise InputError(
                f"a base held as {kind!r} is not known here",
                where=self.folder / BASE_FILE,
                way_out="write 'nf4', or delete the file for a base as floats",
            )
        return str(kind)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over its files and its base."""
        total = hashlib.sha256(f"{self.base.digest}{self.quantization or ''}".encode())
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            total.update((self.folder / name).read_bytes())
        return total.hexdigest()


Tuned = Weights | Adapter
"""What a training ends in."""
