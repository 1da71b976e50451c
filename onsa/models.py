"""Models and tokenizers as Hugging Face folders: checked, loaded, mapped to blocks and roles."""

from __future__ import annotations

import contextlib
import re
import shutil
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onsa.adapter import BASE_FILE, Adapter, Tuned
from onsa.errors import InputError
from onsa.files import write_json
from onsa.heads import (
    begin_at_the_mean,
    head_from_json,
    headed_class,
    heads_of,
    is_new,
    owner_of,
    with_heads,
)
from onsa.quantization import in_four_bits, quantization_of, use_plain_products, write_dequantised
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Step

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
)
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja",
    "spiece.model", "sentencepiece.bpe.model", "generation_config.json",
)  # fmt: skip
PROBE_ROWS, PROBE_TOKENS = 4, 32

ROLES = (  # the first that matches wins: `input_layernorm`, `self_attn.q_norm` are norms
    ("norm", re.compile(r"[Nn]orm|(^|\.)ln_")),
    ("attention", re.compile(r"attn|attention")),
    # BERT's feed-forward is `intermediate` and a plain `output`, as its attention has one too.
    ("mlp", re.compile(r"mlp|ffn|feed_forward|fc\d|experts|intermediate|\d\.output\.dense")),
    ("head", re.compile(r"lm_head|embed_out|score|classifier|(^|\.)cls\.|pooler")),
    ("embedding", re.compile(r"embed|wte|wpe")),
)
# RoBERTa's kin that generate: their padding token has a position of its own, the first token has
# the next one.
PADDING_HAS_A_POSITION = {
    "roberta", "roberta-prelayernorm", "camembert", "xlm-roberta", "xlm-roberta-xl", "xmod",
    "data2vec-text",
}  # fmt: skip
OUTSIDE = ROLES[-2:]  # of the blocks, where BERT has norms as well
BLOCK = re.compile(r"\.(?:layers|h|blocks|layer|block)\.(\d+)\.")


@dataclass(frozen=True)
class Place:
    """Where a parameter sits: its block (`3`, or `embedding`, `head`, `norm`) and its role.

    Outside the blocks the two may differ: the norm of an embedding has that as its block.
    """

    block: str
    role: str


def place_of(name: str) -> Place:
    """The place of the parameter `name`, told from the names that architectures use."""
    if owner_of(name) is not None:
        return Place("head", "head")
    role = _first_match(ROLES, name, "other")
    numbered = BLOCK.search(f".{name}")
    return Place(numbered.group(1) if numbered else _first_match(OUTSIDE, name, role), role)


def _first_match(roles: Sequence[tuple[str, re.Pattern[str]]], name: str, otherwise: str) -> str:
    return next((role for role, pattern in roles if pattern.search(name)), otherwise)


def load_tokenizer(
    folder: Path,
    chat_template: str | None = None,
    remote_code: bool = False,
    generative: bool = True,
) -> Any:
    """The folder's tokenizer with a padding token, and for replies a chat template and an end
    token.

    `chat_template` is the text of a template that replaces the folder's own.

    Raises:
        InputError: no tokenizer, or one that cannot tell which text a token stands for; no chat
            template, or no end token.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in TOKENIZER_FILES[:-4]):
        raise InputError("holds no tokenizer", where=folder, way_out="copy the model's own there")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=remote_code)
    except Exception as fault:  # broken files raise anything from KeyError to a Rust panic
        raise InputError(
            f"its tokenizer cannot be read ({shortened(fault)})",
            where=folder,
            way_out="copy the model's own tokenizer files there",
        ) from None
    if not tokenizer.is_fast:
        raise InputError(
            "its tokenizer is a slow one: it cannot tell which text a token stands for",
            where=folder,
            way_out="convert it: a model with tokenizer.json has a fast one",
        )
    if chat_template:
        tokenizer.chat_template = chat_template
    if generative:
        _require_replies(tokenizer, folder)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "its tokenizer has no padding token",
                where=folder,
                way_out="set pad_token in its config",
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _require_replies(tokenizer: Any, folder: Path) -> None:
    if not tokenizer.chat_template:
        raise InputError(
            "its tokenizer has no chat template",
            where=folder,
            way_out="add chat_template.jinja, or write 'chat_template: plain' in the recipe",
        )
    if tokenizer.eos_token_id is None:
        raise InputError(
            "its tokenizer has no end token", where=folder, way_out="set eos_token in its config"
        )


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
        import onsa.peft_bottleneck  # noqa: F401
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


def first_position(config: Any) -> int:
    """The position of a text's first token: 0, but for RoBERTa and its kin."""
    if config.model_type not in PADDING_HAS_A_POSITION or config.pad_token_id is None:
        return 0
    return int(config.pad_token_id) + 1


def positions_of(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """The `position_ids` that RoBERTa and its kin give a batch by themselves, padded or not.

    Empty for other models. `generate` counts from 0 for all of them, which is not what such a
    model was trained with (transformers 5.23).
    """
    if not first_position(config):
        return {}
    counted = (mask.bool() & (ids != config.pad_token_id)).long()
    return {"position_ids": counted.cumsum(dim=1) * counted + config.pad_token_id}


def import_base(step: Step, source: Weights, remote_code: bool) -> Weights:
    """The base under the names of the model's parameters, each tied one once.

    Some checkpoints name tensors otherwise (GPT-NeoX's `embed_out` is the parameter `lm_head`) or
    hold tied ones twice; all arithmetic and all holding goes by the parameters' names.
    """
    model = load_model(source, _stored_dtype(source), remote_code)
    save_by_parameter(model, step.folder / "base")
    step.note(renamed=sorted(set(source.names) - set(Weights(step.folder / "base").names))[:20])
    return Weights(step.folder / "base")


def import_with_heads(
    step: Step,
    *,
    source: Weights,
    heads: Mapping[str, dict[str, Any]],
    generative: bool,
    seed: int,
    remote_code: bool,
) -> Weights:
    """The base with new heads, drawn by the seed, under the names of the model's parameters.

    Other layers that the checkpoint lacks are drawn too where heads read them (BERT's pooler).
    """
    made = {task: head_from_json(each) for task, each in heads.items()}
    pad = step.run.encoder.tokenizer.pad_token_id
    config = with_heads(read_config(source.folder, remote_code), made, generative, pad)
    torch.manual_seed(seed)
    model, _ = load_checked(source.folder, remote_code, config=config, dtype=torch.float32)
    begin_at_the_mean(model)
    save_by_parameter(model, step.folder / "base")
    return Weights(step.folder / "base")


def needs_import(source: Weights, remote_code: bool) -> bool:
    """Whether the checkpoint's tensors are not named as the model's parameters are."""
    from transformers import AutoModelForCausalLM

    config = read_config(source.folder, remote_code)
    with torch.device("meta"):  # heads have a step of their own
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=remote_code)
    # named_parameters gives a tied tensor once, under its first name; buffers come untied.
    persistent = {name for name, _ in model.named_parameters()}
    persistent |= {name for name, _ in model.named_buffers() if name in model.state_dict()}
    return set(source.names) != persistent


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


def shortened(fault: Exception) -> str:
    """A library's message, in one line that is not too long."""
    text = " ".join(str(fault).split())
    return f"{type(fault).__name__}: {text if len(text) <= 160 else text[:160] + '…'}"


def copy_companions(source: Path, target: Path) -> None:
    """Copy config and tokenizer files, so that `target` is a whole Hugging Face folder."""
    for name in ("config.json", *TOKENIZER_FILES):
        if (source / name).is_file() and not (target / name).exists():
            shutil.copyfile(source / name, target / name)


def compute_dtype(precision: str) -> torch.dtype:
    """The dtype of the arithmetic: bfloat16 where the hardware has instructions for it."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capable: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = capable.get("avx512_bf16") or capable.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


@torch.inference_mode()
def probe_logits(model: Any) -> torch.Tensor:
    """Logits of random tokens, always the same ones: what a model says before and after a change
    that must not show. Of a backbone, which has no logits, its hidden states."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (PROBE_ROWS, PROBE_TOKENS), generator=draw)
    said = model(input_ids=ids.to(model.device), use_cache=False)
    logits: torch.Tensor = said.logits if hasattr(said, "logits") else said.last_hidden_state
    return logits.float()


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _stored_dtype(weights: Weights) -> torch.dtype:
    floating = [dtype for dtype in weights.dtypes.values() if dtype.is_floating_point]
    return max(set(floating), key=floating.count) if floating else torch.float32
