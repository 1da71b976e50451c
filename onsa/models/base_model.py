"""The base model's folder: found, and checked before a weight of it is read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from onsa.adapter import CONFIG_FILE, Adapter, Tuned
from onsa.errors import InputError
from onsa.files import read_json
from onsa.models.carried import Known, known_heads, plain_parameters
from onsa.models.head import Heads
from onsa.models.heads import is_generative, with_heads
from onsa.models.loading import load_checked, read_config
from onsa.models.positions import first_position, position_limit
from onsa.tensor_file import Shape
from onsa.weights import Weights


def find_model(model: str, base_folder: Path) -> Path:
    """The local folder of a model: a path (from `base_folder` or the current one), or a hub name.

    Raises:
        InputError: neither a model folder nor to be had from the hub.
    """
    path = os.path.expanduser(model)  # noqa: PTH111  (Path's own raises for unknown users)
    for folder in (base_folder / path, Path(path)):
        if folder.is_dir():
            return _require_model(folder)
        if folder.exists():
            raise InputError(
                "is a file", where=model, way_out="give the Hugging Face model folder it came from"
            )
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise InputError(
            "there is no such model folder", where=model, way_out="check the path after 'model:'"
        )
    return _from_hub(model)


def _require_model(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise InputError(
            "holds no config.json", where=folder, way_out="give a Hugging Face model folder"
        )
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"holds its weights as a pickle ({pickled[0]}), which is never opened here",
            where=folder,
            way_out="save it with safetensors: save_pretrained(..., safe_serialization=True)",
        )
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, ignore_patterns=["*.bin", "*.pth", "*.h5", "*.msgpack"])
        )
    except Exception as fault:  # the hub's client raises a dozen kinds, offline ones among them
        raise InputError(
            f"is not a folder here and the hub gave none ({type(fault).__name__})",
            where=name,
            way_out="check the name and the network, or give a local folder",
        ) from None


def find_tuned(run: Path, command: str) -> Path:
    """The folder of a run's model or adapter, or the folder itself where it holds one.

    `command` is the one that wants it, for the message.

    Raises:
        InputError: there is none, or there are several.
    """
    folder = run if _holds_one(run) else run / "model"
    if _holds_one(folder):
        return folder
    several = sorted(path for path in folder.glob("*/") if _holds_one(path))
    if several:
        raise InputError(
            f"holds several models ({', '.join(path.name for path in several)})",
            where=folder,
            way_out=f"name one of them: {command} {several[0]}",
        )
    raise InputError(
        "holds no finished model", where=folder, way_out="finish the run with 'onsa tune'"
    )


def _holds_one(folder: Path) -> bool:
    return (folder / "config.json").is_file() or (folder / CONFIG_FILE).is_file()


def open_tuned(folder: Path) -> Tuned:
    """The weights of a folder, or the adapter in it over the base that its config names.

    Raises:
        InputError: the adapter's base is not there.
    """
    if not (folder / CONFIG_FILE).is_file():
        return Weights(folder)
    named = read_json(folder / CONFIG_FILE).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise InputError(
            "does not name its base model",
            where=folder / CONFIG_FILE,
            way_out="write its folder or hub name after 'base_model_name_or_path'",
        )
    return Adapter(folder, Weights(find_model(named, folder)))


class Checked(NamedTuple):
    """What is known of a model whose weights were not read."""

    model: Any  # without weights, on torch's `meta` device
    left_out: list[str]  # tensors of its folder that it has no place for
    shapes: dict[str, Shape]  # of its parameters
    first_position: int  # the number that its first token has
    known: Known  # heads that it brings along for the tasks


def check_model(
    source: Weights, remote_code: bool = False, heads: Heads | None = None, generative: bool = True
) -> Checked:
    """The model of this folder with the tasks' heads, built without reading its weights.

    Raises:
        InputError: it is quantised, no causal language model though replies are to be generated,
            has no class for heads, or its weights are not all there.
    """
    config = read_config(source.folder, remote_code)
    if getattr(config, "quantization_config", None):
        raise InputError(
            "is quantised, and all weights are to be trained",
            where=source.folder,
            way_out="give the model that it was made from",
        )
    if generative:
        _require_replies(config, source.folder, remote_code)
    known = known_heads(config, heads or {}, source)
    with_new = {"config": with_heads(config, heads, generative, None)} if heads else {}
    model, left_out = load_checked(source.folder, remote_code, device_map="meta", **with_new)
    for name, _ in model.named_parameters():
        if name in source.shapes and name not in source.float_shapes:
            raise InputError(
                f"{name} holds whole numbers, and all weights are to be trained",
                where=source.folder,
                way_out="give a model that is not quantised",
            )
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    taken = {plain for task in known.kept for plain in plain_parameters(config, shapes, task)}
    left_out = [name for name in left_out if name not in taken]
    return Checked(model, left_out, shapes, first_position(config), known)


def _require_replies(config: Any, folder: Path, remote_code: bool) -> None:
    """Refuse a model that cannot say replies: one of heads alone, or an encoder."""
    if not is_generative(config):
        raise InputError(
            "has heads only, and the task's replies are said in words",
            where=folder,
            way_out="give a language model",
        )
    if is_encoder(config, remote_code):
        raise InputError(
            f"is a {config.model_type}, which sees the words after a word and cannot generate",
            where=folder,
            way_out="give a causal language model, or only tasks with heads (classify, pair, "
            "regress, rank); with 'is_decoder': true in its config.json it is one, and has to "
            "learn it",
        )


def is_encoder(config: Any, remote_code: bool) -> bool:
    """Whether models with this config fill words in, and cannot say a reply."""
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        AutoModelForCausalLM,
    )

    if config.is_encoder_decoder:
        return False
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return type(config) in MODEL_FOR_MASKED_LM_MAPPING
    with torch.device("meta"), contextlib.suppress(Exception):  # its loading says what is wrong
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=remote_code)
        return sees_ahead(model)
    return False


def sees_ahead(model: Any) -> bool:
    """Whether a token's logits depend on those after it, the reply's own among them.

    Decoders built from encoders, such as BERT's, are so unless their config says `is_decoder`;
    others (GPT-NeoX) have that key and never look at it.
    """
    if getattr(model.config, "is_decoder", None) is not False:
        return False
    causal = {module.is_causal for module in model.modules() if hasattr(module, "is_causal")}
    if causal:
        return False in causal
    return type(model).__name__ not in (model.config.architectures or ())


def check_vocabulary(tokenizer: Any, folder: Path, config: Any) -> None:
    """Refuse a tokenizer that makes ids which the model's embedding does not have."""
    rows = getattr(config.get_text_config(), "vocab_size", None)
    largest = max(tokenizer.get_vocab().values(), default=0)
    if rows is not None and largest >= rows:
        raise InputError(
            f"the tokenizer has tokens up to number {largest}, the model's embedding {rows} rows",
            where=folder,
            way_out="use the tokenizer that belongs to the model",
        )


def position_count(folder: Path, remote_code: bool = False) -> int | None:
    """The longest text that the model was made for, in tokens; None where it does not say."""
    return position_limit(read_config(folder, remote_code))
