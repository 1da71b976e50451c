"""Tiny models built from the configs of the real architectures, and tiny tasks for them."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ONSA_LANG"] = "en"  # whatever language the machine speaks

import pytest
import torch
from hypothesis import HealthCheck, settings
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)  # tiny models are slower on more

# The suite draws the same examples every time, so that it judges the change at hand and not its
# luck; 'make fuzz' looks for new ones.
RELAXED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
settings.register_profile("suite", derandomize=True, **RELAXED)
settings.register_profile("fuzz", max_examples=3000, **RELAXED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="module", autouse=True)
def collect_after_the_module() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.collect()


@pytest.fixture(autouse=True)
def leave_out_what_is_loaded(collect_after_the_module: None) -> None:
    """Garbage is looked for among what a test makes, not in all of torch and transformers.

    Each training collects twice; going through the libraries took longer than training a tiny
    model.
    """
    gc.freeze()


CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 512,
}  # fmt: skip
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {**SHAPE, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "mistral": {**SHAPE, "num_key_value_heads": 2},
    "qwen2": {**SHAPE, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3": {**SHAPE, "num_key_value_heads": 2, "head_dim": 8},
    "gemma2": {**SHAPE, "num_key_value_heads": 2, "head_dim": 8},
    "gemma3_text": {**SHAPE, "num_key_value_heads": 2, "head_dim": 8},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "gpt_neox": SHAPE,
    "bert": {**SHAPE, "is_decoder": True},
    "roberta": {**SHAPE, "max_position_embeddings": 513, "is_decoder": True},
}


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A byte-level BPE tokenizer with a chat template, as small models have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["user assistant system say the word again"] * 4, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Callable[..., Path]:
    """`tiny_model("llama")` is the folder of a random model of that architecture.

    `tiny_model("llama", initializer_range=0.1)` has other keys in its config.
    """
    made: dict[str, Path] = {}

    def build(architecture: str = "llama", **keys: Any) -> Path:
        name = " ".join([architecture, *(f"{key}={value}" for key, value in keys.items())])
        if name not in made:
            folder = tmp_path_factory.mktemp(architecture) / "model"
            made[name] = _build(architecture, tokenizer, folder, keys)
        return made[name]

    return build


def _build(architecture: str, tokenizer: Any, folder: Path, keys: dict[str, Any]) -> Path:
    from transformers import AutoConfig

    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer) + 16,  # some tokenizer classes add marks of their own
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **{**ARCHITECTURES.get(architecture, {}), **keys},
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_tasks(folder: Path) -> dict[str, Path]:
    """Three small tasks: say a word again, in capitals, or the next digit."""
    words = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u")]
    echo = [{"prompt": f"again {word}", "completion": word} for word in words]
    upper = [{"prompt": f"upper {word}", "completion": word.upper()} for word in words]
    after = [{"prompt": f"after {n}", "completion": str(n + 1)} for n in range(60)]
    return {
        name: write_rows(folder / f"{name}.jsonl", rows)
        for name, rows in (("echo", echo), ("upper", upper), ("after", after))
    }


@pytest.fixture
def task_files(tmp_path: Path) -> dict[str, Path]:
    return write_tasks(tmp_path)


@pytest.fixture
def recipe(tiny_model: Callable[..., Path], task_files: dict[str, Path], tmp_path: Path) -> Any:
    """The keys of a quick recipe on a tiny model: `recipe(method="full", ...)`."""
    return quick_recipe(tiny_model, task_files, tmp_path / "run")


def quick_recipe(
    tiny_model: Callable[..., Path], task_files: dict[str, Path], output: Path
) -> Callable[..., dict[str, Any]]:
    def keys(architecture: str = "llama", eval_rows: int = 8, **changes: Any) -> dict[str, Any]:
        tasks = [
            {"name": name, "train": str(path), "eval_rows": eval_rows, "max_new_tokens": 4}
            for name, path in task_files.items()
        ]
        return {
            "model": str(tiny_model(architecture)),
            "output": str(output),
            "tasks": tasks,
            "learning_rate": 3e-3,
            "num_train_epochs": 1,
            "precision": "float32",
            **changes,
        }

    return keys
