"""The modules of a model that an adapter sits on: by name, or by what they project to.

Some architectures compute query, key and value by one fused matrix. `query` and `value` then mean
their rows of it: the adapter sits on the whole matrix; what would change the other rows is held.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from onsa.errors import InputError, did_you_mean
from onsa.masks import ParameterMask
from onsa.models.places import place_of

PROJECTIONS = ("query", "key", "value")
SEPARATE = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
PLAIN = {word: word for word in PROJECTIONS}  # as BERT's modules are named
FUSED = {"gpt2": "c_attn", "gpt_neox": "query_key_value"}
ALL_LINEAR = "all-linear"  # PEFT's word for every linear module but the head
Writer = Literal["attention", "mlp"]
WRITERS = re.compile(  # Llama and most, OPT, GPT-2, GPT-NeoX and BERT, GPT-J, Mixtral, ModernBERT
    r"\.(o_proj|out_proj|c_proj|(?<!intermediate\.)dense|dense_4h_to_h|down_proj|fc2|fc_out|w2|Wo)$"
)
ADDED_TO_ROWS = re.compile(r"\.(lora_B|lora_magnitude_vector)\.|\.base_layer\.bias$")


@dataclass(frozen=True)
class Targets:
    """Modules by the ends of their names (or PEFT's text for them), and what of fused ones."""

    modules: list[str] | str
    fused: str = ""
    projections: frozenset[str] = field(default=frozenset(PROJECTIONS))


def find_targets(model: Any, wanted: Sequence[str] | str) -> Targets:
    """The modules of `model` that `wanted` means: names, `query`, `key`, `value`, a pattern.

    Raises:
        InputError: a name that fits no module, or a projection whose module is not known.
    """
    if isinstance(wanted, str):
        require_modules(model, wanted)
        return Targets(wanted)
    projections = [word for word in wanted if word in PROJECTIONS]
    named = [word for word in wanted if word not in PROJECTIONS]
    require_modules(model, named, known=PROJECTIONS)
    if not projections:
        return Targets(named)
    for names in (SEPARATE, PLAIN):
        if all(_ends_with(model, names[word]) for word in projections):
            return Targets(named + [names[word] for word in projections])
    fused = FUSED.get(model.config.model_type, "")
    if not fused:
        raise InputError(
            f"where {projections[0]} is in a {model.config.model_type} is not known here",
            where="target_modules",
            way_out=f"name modules: {', '.join(module_names(model))}",
        )
    if fused in named:  # the whole matrix was asked for
        return Targets(named)
    return Targets([*named, fused], fused, frozenset(projections))


def module_names(model: Any) -> list[str]:
    """The last parts of the names of all modules with a matrix, each once."""
    return sorted({name.rpartition(".")[2] for name, _ in _matrices(model)})


def module_paths(model: Any, wanted: Sequence[str]) -> list[str]:
    """The whole names of the modules that end in one of `wanted`."""
    ends = tuple(f".{name}" for name in wanted)
    return [name for name, _ in model.named_modules() if f".{name}".endswith(ends)]


def is_writer(module: str) -> bool:
    """Whether a module, by its name, is the matrix by which attention or feed-forward of a block
    write what they give back."""
    return place_of(module).block.isdigit() and bool(WRITERS.search(module))


def find_writers(model: Any, parts: Sequence[Writer]) -> str:
    """A regular expression for the modules by which `parts` of each block write what they give.

    Raises:
        InputError: a part that does not have exactly one such module in every block.
    """
    blocks = model.config.get_text_config().num_hidden_layers
    ends: set[str] = set()
    for part in parts:
        found = [name for name, _ in _matrices(model) if _part_of_writer(name) == part]
        if Counter(place_of(name).block for name in found) != Counter(map(str, range(blocks))):
            raise InputError(
                f"where the {part} of a {model.config.model_type} writes is not known here",
                way_out="choose another method, such as lora",
            )
        ends |= {re.split(r"\.\d+\.", name, maxsplit=1)[1] for name in found}
    return rf".*\.\d+\.({'|'.join(map(re.escape, sorted(ends)))})"


def _part_of_writer(module: str) -> str:
    """`attention`, `mlp`, or nothing: one expert of several is no writer by itself."""
    if not is_writer(module) or "expert" in module:
        return ""
    return "attention" if re.search(r"attn|attention", module) else "mlp"


def rows_left_out(model: Any, targets: Targets) -> ParameterMask | None:
    """What of an adapter would change rows of a fused matrix that were not chosen.

    `model` is the one with the adapter. None where every row may change.
    """
    if targets.projections == frozenset(PROJECTIONS):
        return None
    held = {}
    for name, parameter in model.named_parameters():
        added = ADDED_TO_ROWS.search(name)
        if added and parameter.requires_grad and f".{targets.fused}." in name:
            rows = ~_rows(model.config, parameter.shape[0], targets.projections)
            shape = (-1, *[1] * (parameter.dim() - 1))
            held[name] = rows.reshape(shape).expand(parameter.shape).contiguous()
    return ParameterMask.of(held)


def _rows(config: Any, count: int, projections: frozenset[str]) -> Tensor:
    """Which of the `count` rows of a fused matrix belong to the projections.

    GPT-2 has all queries, all keys, all values one after another; GPT-NeoX has them head by head.
    """
    row = torch.arange(count)
    if config.model_type == "gpt_neox":
        row = row % (count // config.num_attention_heads)
        count //= config.num_attention_heads
    part = row // (count // len(PROJECTIONS))
    return torch.stack([part == PROJECTIONS.index(word) for word in projections]).any(dim=0)


def _matrices(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() == 2:
            yield name, module


def _ends_with(model: Any, end: str) -> bool:
    return bool(module_paths(model, [end]))


def require_modules(
    model: Any,
    wanted: Sequence[str] | str,
    key: str = "target_modules",
    known: Sequence[str] = (),
) -> None:
    """Refuse names, or a regular expression, that fit no module of the model.

    `known` are words that would have been understood too.
    """
    if isinstance(wanted, str):
        _require_fit(model, wanted, key)
        return
    for name in wanted:
        if not _ends_with(model, name):
            raise InputError(
                f"the model has no module {name!r}",
                where=key,
                way_out=did_you_mean(name, [*known, *module_names(model)]),
            )


def _require_fit(model: Any, pattern: str, key: str) -> None:
    """Refuse a text that is neither PEFT's word for all nor a regular expression that fits."""
    if pattern == ALL_LINEAR:
        return
    try:
        fits = any(re.fullmatch(pattern, name) for name, _ in model.named_modules())
    except re.error as fault:
        raise InputError(
            f"{pattern!r} is no regular expression ({fault})",
            where=key,
            way_out="list names instead",
        ) from None
    if not fits:
        raise InputError(
            f"{pattern!r} fits the whole name of no module",
            where=key,
            way_out=f"list names instead, or write '{ALL_LINEAR}'",
        )
