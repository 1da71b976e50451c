"""Where a model is computed, and in which precision."""

from __future__ import annotations

from typing import Any

import torch


def compute_dtype(precision: str) -> torch.dtype:
    """The dtype of the arithmetic: bfloat16 where the hardware has instructions for it."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capable: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = capable.get("avx512_bf16") or capable.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
