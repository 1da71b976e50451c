"""A base held in 4 bits under an adapter: QLoRA, Dettmers et al. 2023, arXiv:2305.14314.

Each matrix of the blocks is stored as NF4, 64 entries to a scale, the scales quantised once more,
by bitsandbytes; embeddings, head, norms and biases stay floats.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from transformers.pytorch_utils import Conv1D

from onsa.errors import InputError

Quantization = Literal["nf4"]


def require_quantization(place: torch.device) -> None:
    """Refuse a machine on which the library cannot hold a matrix in 4 bits and give it back.

    Raises:
        InputError: bitsandbytes is not installed, or does not support the device.
    """
    functional = bitsandbytes().functional
    matrix = torch.eye(64, device=place)
    try:
        packed = functional.quantize_4bit(matrix, quant_type="nf4", compress_statistics=True)
        whole = bool(torch.equal(functional.dequantize_4bit(*packed), matrix))
    except Exception:  # it has a backend for each device, and each fails in its own way
        whole = False
    if not whole:
        raise InputError(
            f"bitsandbytes does not hold matrices in 4 bits on this machine's {place.type}",
            where="quantization",
            way_out="take quantization out, or use a machine that it supports",
        )


def bitsandbytes() -> Any:
    """The library.

    Raises:
        InputError: it is not installed.
    """
    try:
        import bitsandbytes as library
    except ImportError:
        raise InputError(
            "needs the library 'bitsandbytes'",
            where="quantization",
            way_out="pip install 'onsa[qlora]', or take quantization out",
        ) from None
    return library


def in_four_bits(kind: str, compute: torch.dtype, place: torch.device) -> dict[str, Any]:
    """What `from_pretrained` has to be told; `compute` is the dtype of products."""
    from transformers import BitsAndBytesConfig

    require_quantization(place)
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    return {"quantization_config": config, "device_map": {"": place}}


def use_plain_products(model: Any) -> None:
    """Switch off products of bitsandbytes' own, which some CPUs have in evaluation.

    They are in bfloat16 whatever is asked for, and fail on matrices whose sides 64 does not divide.
    """
    for module in _quantised(model).values():
        module.support_avx512bf16_for_cpu = False


def quantization_of(model: Any) -> str | None:
    """How the base of a model is held; None where it is held as floats."""
    config = getattr(model.config, "quantization_config", None)
    return getattr(config, "bnb_4bit_quant_type", None)


@torch.no_grad()
def write_dequantised(quantised: Any, plain: Any) -> None:
    """Give `plain`, the same model in floats, the values that the quantised one computes with."""
    functional = bitsandbytes().functional
    for name, module in _quantised(quantised).items():
        values = functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
        target = plain.get_submodule(name)
        target.weight.copy_(values.T if isinstance(target, Conv1D) else values)


def _quantised(model: Any) -> dict[str, Any]:
    kind = bitsandbytes().nn.Linear4bit
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}
