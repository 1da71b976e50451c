"""Heads: what classification, regression and ranking add to a pre-trained model.

A head is all that transformers' own sequence-classification class of the architecture has beside
the backbone. A model of several tasks carries them as `heads.<task>` over one backbone; backbone
and one head, under that class's names, are a checkpoint that plain `from_pretrained` loads.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from onsa.errors import InputError
from onsa.files import read_json
from onsa.models.head import Head, Heads, head_from_json
from onsa.models.head_names import PREFIX, module_key, owner_of, parameter_prefix

CONFIG_KEY = "onsa_heads"  # in config.json of a model that carries heads
SINGLE_KEY = "onsa_head"  # in that of a classifier: whose head it has, and what that says
PEFT_PREFIX = "base_model.model."


def heads_of(config: Any) -> dict[str, Head]:
    """The heads that a model's config tells of, by task."""
    told = getattr(config, CONFIG_KEY, None) or {}
    return _heads_in(told)


def _heads_in(told: Mapping[str, Any]) -> dict[str, Head]:
    return {task: head_from_json(each) for task, each in told.get("heads", {}).items()}


def is_generative(config: Any) -> bool:
    """Whether the model has a language model's head as well, or no others at all."""
    told = getattr(config, CONFIG_KEY, None)
    return told is None or bool(told["generative"])


def with_heads(config: Any, heads: Heads, generative: bool, pad_token_id: int | None) -> Any:
    """The config, which is changed, of a model that carries these heads."""
    told = {task: asdict(head) for task, head in heads.items()}
    config.__dict__.pop(SINGLE_KEY, None)
    setattr(config, CONFIG_KEY, {"heads": told, "generative": generative})
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = pad_token_id  # tells where a row's text ends
    return config


def headed_class(config: Any) -> Any:
    """The class of models that carry the heads which `config` tells of."""
    return _headed_class(type(config), is_generative(config))  # type: ignore[arg-type]


@cache
def _headed_class(config_class: Any, generative: bool) -> Any:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING

    if generative and config_class not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(
            f"transformers has no causal language model for a {config_class.model_type}",
            way_out="give another model, or only tasks with heads",
        )
    plain: Any = (MODEL_FOR_CAUSAL_LM_MAPPING if generative else MODEL_MAPPING)[config_class]

    class Headed(plain):
        def __init__(self, config: Any) -> None:
            single = {task: _stripped(config, head) for task, head in heads_of(config).items()}
            pools = all(pools for _, pools in single.values())
            known = "add_pooling_layer" in inspect.signature(plain.__init__).parameters
            if pools and not known:
                raise InputError(
                    f"a {config.model_type} that generates has no pooler, which its heads read",
                    way_out="give tasks with heads a run of their own, or 'by: likelihood'",
                )
            super().__init__(config, **({"add_pooling_layer": pools} if known else {}))
            self.heads = nn.ModuleDict(
                {module_key(task): each for task, (each, _) in single.items()}
            )
            self.post_init()

    Headed.__name__ = Headed.__qualname__ = plain.__name__
    return Headed


def _stripped(config: Any, head: Head) -> tuple[nn.Module, bool]:
    """A sequence-classification model without its backbone, and whether that one would pool.

    Its parameters have no values: they are read, or drawn, as `from_pretrained` fills the model.
    """
    with torch.device("meta"):
        whole = classifier_class(config)(single_config(config, head))
    backbone = whole._modules.pop(whole.base_model_prefix)
    return whole, getattr(backbone, "pooler", None) is not None


def classifier_class(config: Any) -> Any:
    """Transformers' class for the classification of texts by this architecture.

    Raises:
        InputError: there is none.
    """
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    known = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    if type(config) not in known:
        raise InputError(
            f"transformers has no sequence classification for a {config.model_type}",
            way_out="give another model, or score the labels as text: 'by: likelihood'",
        )
    return known[type(config)]


def language_model_config(config: Any) -> Any:
    """The config without heads."""
    plain = copy.deepcopy(config)
    for key in (CONFIG_KEY, SINGLE_KEY):
        plain.__dict__.pop(key, None)
    return plain


def single_config(config: Any, head: Head) -> Any:
    """The config of transformers' own class with this head alone, its labels by name."""
    single = language_model_config(config)
    labels = head.labels or ("LABEL_0",)
    single.id2label = dict(enumerate(labels))
    single.label2id = {label: number for number, label in enumerate(labels)}
    # A ranking's one number is read as a regression's, which is how reward models are stored.
    single.problem_type = "regression" if head.problem == "ranking" else head.problem
    return single


def read_heads(folder: Path) -> dict[str, Head]:
    """The heads of the model in a folder, by task; none where it has no config."""
    path = folder / "config.json"
    told = read_json(path).get(CONFIG_KEY) if path.is_file() else None
    return _heads_in(told or {})


def head_logits(model: Any, task: str, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the head of `task` says of a batch, (rows, outputs), float32."""
    carrier = _carrier(model)
    if not hasattr(carrier, "heads"):  # transformers' own class, which has one
        return model(**inputs).logits.float()
    single = carrier.heads[module_key(task)]
    with _on_backbone(single, carrier):
        logits: Tensor = single(**inputs, use_cache=False).logits
    return logits.float()


def modules_of_heads(model: Any) -> list[str]:
    """The names of the modules that heads are made of, and of the pooler that they read."""
    found = [
        f"{PREFIX}{key}.{name}"
        for key, single in model.heads.items()
        for name, child in single.named_children()
        if any(True for _ in child.parameters())
    ]
    return found + (["pooler"] if getattr(model, "pooler", None) is not None else [])


def head_of(model: Any, task: str) -> Head:
    """What the head of `task` says in this model."""
    return heads_of(_carrier(model).config)[task]


def _carrier(model: Any) -> Any:
    """The model of transformers that has the heads, inside of what PEFT may have put around it."""
    from transformers import PreTrainedModel

    return next(each for each in model.modules() if isinstance(each, PreTrainedModel))


@contextmanager
def _on_backbone(single: Any, carrier: Any) -> Iterator[None]:
    """The head's model with the carrier's backbone in its place, which it does not own."""
    single.__dict__[single.base_model_prefix] = carrier.base_model
    try:
        yield
    finally:
        del single.__dict__[single.base_model_prefix]


def begin_at_the_mean(model: Any, tasks: Iterable[str]) -> None:
    """A regression whose head has a bias begins at the mean of its training rows."""
    for task in tasks:
        head = head_of(model, task)
        last = [
            each for each in model.heads[module_key(task)].modules() if isinstance(each, nn.Linear)
        ]
        if head.problem == "regression" and last[-1].bias is not None:
            with torch.no_grad():
                last[-1].bias.fill_(head.mean)


def plain_names(names: Iterable[str], config: Any, task: str | None) -> dict[str, str]:
    """The names of a headed model's parameters in transformers' own class with the head of `task`,
    by their names there; without those of other heads and of the language model's. Without a task
    the language model's own."""
    if task is None:
        return {name: name for name in names if owner_of(name) is None}
    prefix = f"{classifier_class(config).base_model_prefix}."
    own = parameter_prefix(task)
    found = {}
    for name in names:
        if name.startswith(own):
            found[name.removeprefix(own)] = name
        elif owner_of(name) is None and not is_generative(config):
            found[prefix + name] = name
        elif owner_of(name) is None and name.startswith(prefix):
            found[name] = name
    return found


def write_single_adapter(source: Path, target: Path, config: Any, task: str | None) -> None:
    """An adapter's tensors under the names of the plain class with one head, or of the language
    model."""
    tensors = load_file(source)
    inside = [name.removeprefix(PEFT_PREFIX) for name in tensors if name.startswith(PEFT_PREFIX)]
    names = plain_names(inside, config, task)
    single = {PEFT_PREFIX + name: tensors[PEFT_PREFIX + own] for name, own in names.items()}
    # VeRA's projections belong to no module of the model.
    of_all = {name: each for name, each in tensors.items() if not name.startswith(PEFT_PREFIX)}
    save_file({**of_all, **single}, target, metadata={"format": "pt"})
