"""`onsa merge`: an adapter folded into its base, proved to be the same model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from onsa.adapter import Adapter
from onsa.errors import InputError, shortened
from onsa.files import publish_folder
from onsa.models.base_model import find_tuned, open_tuned
from onsa.models.device import device
from onsa.models.loading import load_dequantised, load_model
from onsa.models.logits import PROBE_ROWS, PROBE_TOKENS, probe_logits
from onsa.models.saving import copy_companions
from onsa.report.words import memory

TOLERANCE = 1e-4  # of the largest logit; float32 leaves about 1e-6


def merge_adapter(run: Path, output: Path | None = None) -> str:
    """Write the run's adapter and its base as one float32 model, and say what it weighs.

    Raises:
        InputError: there is no adapter, it cannot be merged, or the merged model says other
            things than the unmerged one; nothing was written.
    """
    folder = find_tuned(run, "onsa merge")
    adapter = open_tuned(folder)
    if not isinstance(adapter, Adapter):
        raise InputError(
            "is a whole model: there is nothing to merge", where=folder, way_out="use it as it is"
        )
    target = output or run / "merged"
    if output is not None and output.exists() and (output.is_file() or any(output.iterdir())):
        raise InputError("is there already", where=output, way_out="name a new folder")
    merged, difference = fold(load_dequantised(adapter).to(device()).eval(), folder)
    in_use = difference_in_use(merged, adapter)
    write_merged(merged, adapter, target)
    said = (
        f"merged  {target}  {_weight(target)} (adapter {memory(adapter.stored_bytes)}, "
        f"base {_weight(adapter.base.folder)})\n"
        f"logits of {PROBE_ROWS} x {PROBE_TOKENS} probe tokens differ by at most {difference:.1e} "
        "of the largest"
    )
    if in_use is not None:
        said += (
            f"\nits base's matrices have the values of 4 bits ({adapter.quantization}), over which "
            f"it was trained and scored: from that model its logits differ by {in_use:.1e}"
        )
    return said


def difference_in_use(merged: Any, adapter: Adapter) -> float | None:
    """How far the merged model's logits are from those over the base in 4 bits, as a share.

    None where the base is not in 4 bits.
    """
    if not adapter.quantization:
        return None
    used = probe_logits(load_model(adapter).to(device()).eval())
    return float((probe_logits(merged) - used).abs().max() / used.abs().max())


def fold(model: Any, where: Path) -> tuple[Any, float]:
    """The plain model, and how far its logits are from the adapted one's, as a share.

    Raises:
        InputError: the adapter cannot be folded into weights, or not without changing the model.
    """
    kind = model.active_peft_config.peft_type.value.lower()
    if model.active_peft_config.is_prompt_learning:
        raise InputError(
            f"{kind} adds input, not weights: it cannot be merged",
            where=where,
            way_out="use it as an adapter",
        )
    before = probe_logits(model)
    try:
        merged = model.merge_and_unload()
    except Exception as fault:  # tuners that cannot raise whatever they happen to
        raise InputError(
            f"{kind} cannot be merged ({shortened(fault)})",
            where=where,
            way_out="use it as an adapter",
        ) from None
    difference = float((probe_logits(merged) - before).abs().max() / before.abs().max())
    if not difference <= TOLERANCE:
        raise InputError(
            f"merged, its logits would differ by {difference:.1e} of the largest",
            where=where,
            way_out="use it as an adapter: one on a tied embedding cannot be merged",
        )
    return merged, difference


def write_merged(model: Any, adapter: Adapter, target: Path) -> None:
    beside = target.with_name(f".{target.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    for source in (adapter.folder, adapter.base.folder):  # the run's own tokenizer first
        copy_companions(source, beside)
    publish_folder(beside, target)


def _weight(folder: Path) -> str:
    return memory(sum(path.stat().st_size for path in folder.glob("*.safetensors")))
