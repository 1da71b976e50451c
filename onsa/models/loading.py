"""Models and adapters read from Hugging Face folders, all their weights there."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onsa.adapter import Adapter, Tuned
from onsa.errors import InputError, shortened
from onsa.models.device import device
from onsa.models.head_names import is_new
from onsa.models.heads import headed_class, heads_of
from onsa.models.quantization import in_four_bits, use_plain_products, write_dequantised
from onsa.weights import Weights

if TYPE_CHECKING:
    pass


def load_model(tuned: Tuned, dtype: torch.dtype = torch.float32, remote_code: bool = False) -> Any:
    """The causal language model of a weights folder or of an adapter over its base.

    Every parameter of the model is in `dtype`, but for a base that an adapter was trained over in
    4 bits: it is held so again.

    Raises:
        InputError: it cannot be built, or its weights are not all there.
    """
    if isinstance(tuned, Weights):
        return load_checked(tuned.folder, remote_code, dtype=dtype)[0]
    if tuned.quantization:
        base = load_quantised(tuned.base, tuned.quantization, dtype, dtype)
    else:
        base = load_model(tuned.base, dtype, remote_code)
    return with_adapter(tuned, base).to(dtype)


def load_quantised(
    source: Weights, kind: str, compute: torch.dtype, dtype: torch.dtype = torch.float32
) -> Any:
    """The model with its blocks' matrices in 4 bits, their products in `compute`, on the device.

    Raises:
        InputError: the library is missing, or does not support the device.
    """
    how = in_four_bits(kind, compute, device())
    model, _ = load_checked(source.folder, False, dtype=dtype, **how)
    use_plain_products(model)
    return model


def load_dequantised(adapter: Adapter) -> Any:
    """The adapter over its base as floats, with the values that 4 bits have where it has those."""
    plain = load_model(adapter.base)
    if adapter.quantization:
        write_dequantised(load_quantised(adapter.base, adapter.quantization, torch.float32), plain)
    return with_adapter(adapter, plain)


def with_adapter(adapter: Adapter, model: Any) -> Any:
    """The base's model with the adapter in it.

    Raises:
        InputError: it does not fit.
    """
    library = peft()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PEFT says to its own developers
            return library.PeftModel.from_pretrained(model, adapter.folder)
    except Exception as fault:
        raise InputError(
            f"the adapter cannot be loaded ({shortened(fault)})",
            where=adapter.folder,
            way_out="check that it was trained over this base model",
        ) from None


def peft() -> Any:
    """The library `peft`, with the type of adapter known to it that is ours.

    Raises:
        InputError: it is not installed.
    """
    try:
        import peft as library
    except ImportError:
        raise InputError(
            "adapters need the library 'peft'", way_out="pip install 'onsa[peft]'"
        ) from None
    with contextlib.suppress(ImportError):  # too old for types of others; add_adapter says so
        import onsa.models.peft_bottleneck  # noqa: F401
    # Torch's word to the author of shira, whose update is a sparse matrix.
    warnings.filterwarnings("ignore", "Sparse invariant checks", UserWarning)
    return library


def load_checked(
    folder: Path,
    remote_code: bool,
    kind: Any = None,
    brought: Collection[str] = (),
    **how: Any,
) -> tuple[Any, list[str]]:
    """A model with all its weights, and the tensors of its folder that it has no place for.

    It is a causal language model, or carries the heads that its config tells of; those of a
    `config` given are new. `kind` is another class of transformers; what is `brought`, an adapter
    will put in.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    config = how.pop("config", None)
    with_new_heads = config is not None and kind is None
    config = config or read_config(folder, remote_code)
    kind = kind or (headed_class(config) if heads_of(config) else AutoModelForCausalLM)
    try:
        model, told = kind.from_pretrained(
            folder,
            config=config,
            trust_remote_code=remote_code,
            use_safetensors=True,  # never a pickle
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, with their names
            **how,
        )
    except Exception as fault:  # quantisers, remote code and broken configs raise anything
        raise InputError(
            f"cannot be loaded ({shortened(fault)})",
            where=folder,
            way_out=f"check that it loads with {kind.__name__}.from_pretrained",
        ) from None
    absent = sorted(told["missing_keys"]) + sorted(name for name, *_ in told["mismatched_keys"])
    if with_new_heads:
        absent = [name for name in absent if not is_new(name)]
    absent = [name for name in absent if name not in brought]
    if absent:  # transformers would draw them at random, and log a table
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise InputError(
            f"its weights lack {absent[0]}{more}, or have them in another shape than its config",
            where=folder,
            way_out="give the folder of a whole model",
        )
    return model, sorted(told["unexpected_keys"])


def read_config(folder: Path, remote_code: bool = False) -> Any:
    """The model's config.

    Raises:
        InputError: transformers cannot use it.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=remote_code)
    except Exception as fault:
        raise InputError(
            f"its config.json cannot be used ({shortened(fault)})",
            where=folder,
            way_out="it must be a causal language model that transformers knows",
        ) from None
