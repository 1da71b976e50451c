"""A small set of trained tensors over a base model that stays as it is, in PEFT's own format."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from pathlib import Path

from onsa.errors import InputError
from onsa.tensor_file import read_header
from onsa.weights import Weights

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


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

    @cached_property
    def entry_count(self) -> int:
        """The entries that are stored: what was trained, but for frozen projections."""
        stored, _ = read_header(self.folder / WEIGHTS_FILE)
        return sum(math.prod(tensor.shape) for tensor in stored.values())

    @property
    def stored_bytes(self) -> int:
        """What it weighs on disk; the base is not in it."""
        return (self.folder / WEIGHTS_FILE).stat().st_size

    @cached_property
    def digest(self) -> str:
        """SHA-256 over its two files and its base."""
        total = hashlib.sha256(self.base.digest.encode())
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            total.update((self.folder / name).read_bytes())
        return total.hexdigest()


Tuned = Weights | Adapter
"""What a training ends in."""
