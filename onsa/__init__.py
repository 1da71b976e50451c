"""onsa (音叉): tune one pre-trained model for several tasks without losing any of them.

import onsa
run = onsa.tune(model="...", tasks=[...], method="cpi_ft", output="runs/first")
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onsa.commands.tune import tune as tune
    from onsa.errors import InputError as InputError
    from onsa.masks import ParameterMask as ParameterMask
    from onsa.run import Run as Run
    from onsa.weights import Weights as Weights

# Read once, when the libraries are imported, by whichever module that is: no usage data leave the
# machine, what is wrong with a model is said in one line by us, and advice about kernels from the
# hub does not stand in every run.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

__version__ = "0.1.0"
__all__ = ["InputError", "ParameterMask", "Run", "Weights", "tune"]

# Loaded when first used: `import onsa` must not wait for torch.
_HOMES = {
    "InputError": "onsa.errors",
    "ParameterMask": "onsa.masks",
    "Run": "onsa.run",
    "Weights": "onsa.weights",
    "tune": "onsa.commands.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'onsa' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
