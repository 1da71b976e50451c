"""Models and adapters written as Hugging Face folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onsa.adapter import BASE_FILE, Adapter, Tuned
from onsa.files import write_json
from onsa.models.quantization import quantization_of
from onsa.models.tokenizer import TOKENIZER_FILES
from onsa.weights import Weights

if TYPE_CHECKING:
    pass


def save_by_parameter(model: Any, folder: Path) -> None:
    """Save a model with its tensors named as its parameters, which `from_pretrained` reads too."""
    model.save_pretrained(folder, save_original_format=False)


def save_trained(model: Any, folder: Path, base: Weights) -> Tuned:
    """Save a trained model below `folder`: its weights, or only what PEFT added to `base`."""
    if not hasattr(model, "peft_config"):
        save_by_parameter(model, folder / "weights")
        return Weights(folder / "weights")
    model.eval()  # what makes virtual tokens is run once more to store them, without dropout
    # 'auto' would ask the hub for the base's config, and save the embedding where it has grown.
    model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    (folder / "adapter" / "README.md").unlink(missing_ok=True)  # an empty card; ours says more
    if kind := quantization_of(model):
        write_json(folder / "adapter" / BASE_FILE, {"quantization": kind})
    return Adapter(folder / "adapter", base)


def copy_companions(source: Path, target: Path) -> None:
    """Copy config and tokenizer files, so that `target` is a whole Hugging Face folder."""
    for name in ("config.json", *TOKENIZER_FILES):
        if (source / name).is_file() and not (target / name).exists():
            shutil.copyfile(source / name, target / name)
