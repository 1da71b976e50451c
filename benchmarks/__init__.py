"""Speed and memory as ratios of two things measured in turns in one session.

    python -m benchmarks

A ratio outlives the machine it was measured on, and turns take the machine's moods out of it:
other programs slow both of a pair.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SMOLLM2_135M = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Ratio(NamedTuple):
    """The median of paired ratios, their quartiles, and the bound that was set for it."""

    what: str
    value: float
    low: float
    high: float
    bound: float
    at_most: bool = True

    @property
    def holds(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        spread = f"{self.low:.3f} to {self.high:.3f}" if self.low != self.high else ""
        verdict = "" if self.holds else "  MISSED"
        return f"{self.what:<58} {self.value:>6.3f}  {spread:<15} {sign} {self.bound:.4g}{verdict}"


HEAD = f"{'ratio':<58} {'median':>6}  {'quartiles':<15} target"


def in_turns(
    ours: Callable[[], float], yardstick: Callable[[], float], turns: int
) -> list[tuple[float, float]]:
    """`turns` pairs of measurements, each of the two first in every other turn."""
    pairs = []
    for turn in range(turns):
        if turn % 2:
            other = yardstick()
            pairs.append((ours(), other))
        else:
            pairs.append((ours(), yardstick()))
    return pairs


def ratio_of(
    what: str, pairs: list[tuple[float, float]], bound: float, at_most: bool = True
) -> Ratio:
    ratios = [ours / yardstick for ours, yardstick in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(what, middle, low, high, bound, at_most)


def model_folder(folder: Path) -> Path:
    """The demo's SmolLM2-135M-Instruct where it is installed, else random weights of its shape."""
    from onsa.commands.demo import demo_model
    from onsa.errors import InputError
    from onsa.progress import Progress

    try:
        return demo_model(Progress())
    except InputError:
        return _random_model(folder)


def _random_model(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bytes(), eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM(LlamaConfig(**SMOLLM2_135M)).save_pretrained(folder)
    return folder


def _bytes() -> Any:
    """A tokenizer for which every byte is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made
