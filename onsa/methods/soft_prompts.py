"""Trained virtual tokens before the input; the model itself stays as it is.

Li and Liang 2021, prefix tuning, arXiv:2101.00190: keys and values of every layer. Liu et al. 2021,
P-tuning, arXiv:2103.10385: embeddings by a small encoder. Lester et al. 2021, prompt tuning,
arXiv:2104.08691: embeddings alone. All of them are PEFT's, by its names.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from onsa.adapter import Adapter
from onsa.data.encoding import Encoder
from onsa.errors import InputError
from onsa.methods import method
from onsa.recipe.training import Training
from onsa.run import Run, Step
from onsa.training.adapters import AdapterSettings, add_adapter, run_adapter, train_adapter

# A prefix goes through each architecture's own cache. Of these it is tested that it does what a
# text in its place does, alone and padded (tests/test_virtual_tokens.py).
PREFIX_FITS = (
    "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "bert",
)  # fmt: skip


class SoftPrompt(AdapterSettings):
    num_virtual_tokens: int = Field(20, ge=1, description="they take positions, as text does")
    needs: ClassVar[tuple[tuple[str, str, object], ...]] = ()  # a key, another, and its value

    @property
    def virtual_tokens(self) -> int:
        return self.num_virtual_tokens

    def require(self, config: Any, training: Training, encoder: Encoder) -> None:
        if training.packing:
            raise InputError(
                "virtual tokens stand before a sequence, not before each packed example",
                where="packing",
                way_out="take the key out, or choose another adapter, such as lora",
            )

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> SoftPrompt:
        for key, decider, needed in self.needs:
            if self.differs(key) and getattr(self, decider) != needed:
                shown = str(needed).lower() if isinstance(needed, bool) else needed
                raise InputError(
                    f"{key} has no effect without '{decider}: {shown}'",
                    way_out="write both or none",
                )
        return self


class Prefix(SoftPrompt):
    prefix_projection: bool = Field(
        False, description="train embeddings and a small network that makes the prefix of them"
    )
    encoder_hidden_size: int | None = Field(
        None, ge=1, description="width of that network; or that of all keys of a layer"
    )
    init_weights: Literal["zero"] | None = Field(
        None, description="where keys and values start: at random, or at 0"
    )
    needs = (("encoder_hidden_size", "prefix_projection", True),)

    def require(self, config: Any, training: Training, encoder: Encoder) -> None:
        super().require(config, training, encoder)
        if config.model_type not in PREFIX_FITS:
            raise InputError(
                f"not tested on a {config.model_type}, whose cache it would have to fit",
                where="prefix",
                way_out=f"prompt_tuning fits any; tested here: {', '.join(PREFIX_FITS)}",
            )
        if training.gradient_checkpointing:
            raise InputError(
                "a prefix is lost under gradient_checkpointing",
                where="prefix",
                way_out="take gradient_checkpointing out",
            )


class PTuning(SoftPrompt):
    encoder_reparameterization_type: Literal["MLP", "LSTM"] = Field(
        "MLP", description="the network that makes the embeddings"
    )
    encoder_hidden_size: int | None = Field(
        None, ge=1, description="width of the network; or the model's"
    )
    encoder_num_layers: int = Field(2, ge=1, description="of the LSTM")
    encoder_dropout: float = Field(0.0, ge=0, lt=1, description="between the layers of the LSTM")
    needs = (
        ("encoder_num_layers", "encoder_reparameterization_type", "LSTM"),
        ("encoder_dropout", "encoder_reparameterization_type", "LSTM"),
    )

    @model_validator(mode="after")
    def _dropout_is_between_layers(self) -> PTuning:
        if self.encoder_dropout and self.encoder_num_layers == 1:
            raise InputError(
                "encoder_dropout has no effect with one layer",
                way_out="write encoder_num_layers: 2",
            )
        return self


class PromptTuning(SoftPrompt):
    prompt_tuning_init: Literal["SAMPLE_VOCAB", "TEXT", "RANDOM"] = Field(
        "SAMPLE_VOCAB", description="where embeddings start: words drawn, a text, at random"
    )
    prompt_tuning_init_text: str | None = Field(
        None, description="the text; a short one is repeated"
    )
    needs = (("prompt_tuning_init_text", "prompt_tuning_init", "TEXT"),)

    @model_validator(mode="after")
    def _text_is_there(self) -> PromptTuning:
        if self.prompt_tuning_init == "TEXT" and not (self.prompt_tuning_init_text or "").strip():
            raise InputError(
                "'prompt_tuning_init: TEXT' without a text",
                way_out="add 'prompt_tuning_init_text: ...'",
            )
        return self

    def require(self, config: Any, training: Training, encoder: Encoder) -> None:
        super().require(config, training, encoder)
        if self.prompt_tuning_init_text is None:
            return
        tokens = len(encoder.tokenizer(self.prompt_tuning_init_text)["input_ids"])
        if tokens > self.num_virtual_tokens:
            raise InputError(
                f"{tokens} tokens, and num_virtual_tokens is {self.num_virtual_tokens}",
                where="prompt_tuning_init_text",
                way_out=f"write 'num_virtual_tokens: {tokens}', or a shorter text",
            )


@method("prefix", settings=Prefix, paper="arXiv:2101.00190")
def prefix(run: Run, settings: Prefix) -> Adapter:
    """Train keys and values before those of the input, in every layer."""
    return run_adapter(run, "prefix", train_virtual_tokens, settings, kind="prefix_tuning")


@method("p_tuning", settings=PTuning, paper="arXiv:2103.10385")
def p_tuning(run: Run, settings: PTuning) -> Adapter:
    """Train embeddings before the input's, made by a small network."""
    return run_adapter(run, "p_tuning", train_virtual_tokens, settings, kind="p_tuning")


@method("prompt_tuning", settings=PromptTuning, paper="arXiv:2104.08691")
def prompt_tuning(run: Run, settings: PromptTuning) -> Adapter:
    """Train embeddings before the input's, by themselves."""
    return run_adapter(run, "prompt_tuning", train_virtual_tokens, settings, kind="prompt_tuning")


def train_virtual_tokens(
    step: Step, *, kind: str, settings: SoftPrompt, **inputs: Any
) -> dict[str, Any]:
    """`train` with virtual tokens of PEFT's type `kind` before the input."""
    add = partial(add_virtual_tokens, kind, settings, step.run.companions)
    return train_adapter(step, add=add, **inputs)


def add_virtual_tokens(kind: str, settings: SoftPrompt, tokenizer: Path, model: Any) -> Any:
    """The model with virtual tokens; `tokenizer` is the folder of what reads their text."""
    keys = settings.model_dump(exclude={"trained_tokens"}, exclude_none=True)
    if "prompt_tuning_init_text" in keys:
        keys["tokenizer_name_or_path"] = str(tokenizer)
    return add_adapter(model, kind, keys)
