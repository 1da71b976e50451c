"""Does `onsa tune` train as quickly as the shortest script with `transformers.Trainer`?

    python -m benchmarks.trainer

Both train the same model of 135 million entries on the same rows in the same batches and order,
with the same settings, in turns in one process; what counts is the time inside `Trainer.train()`,
loading and scoring not, and the losses must agree. Tokens are those of the rows, padding without.
Two kinds of rows: long replies, where onsa has nothing to save and only its own work shows, and
long prompts with short replies, where it leaves out the logits that no trained token needs.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import onsa
from benchmarks import HEAD, Ratio, in_turns, model_folder, ratio_of
from onsa.models.device import compute_dtype
from onsa.run import Run
from onsa.training.train import make_plan

STEPS = 10
TURNS = 4
LEAST = 0.97
WORDS = ("stone", "river", "cloud", "paper", "seven", "green", "north", "bread", "night", "glass")
LENGTHS = {"long replies": (1, 60), "short replies": (60, 1)}  # words of prompt and reply


def write_rows(path: Path, prompt_words: int, reply_words: int) -> Path:
    draw = random.Random(0)

    def text(most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint((most + 1) // 2, most)))

    rows = [
        {"prompt": f"{number} {text(prompt_words)}", "completion": text(reply_words)}
        for number in range(8 * STEPS + 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tuned(model: Path, rows: Path, folder: Path, steps: int) -> Run:
    return onsa.tune(
        model=str(model),
        output=str(folder),
        method="full",
        max_steps=steps,
        tasks=[{"name": "words", "kind": "loss", "train": str(rows), "eval_rows": 1}],
    )


def facts_of(run: Run) -> dict[str, Any]:
    return next(record.facts for record in run.history if record.name == "full")


def ours(model: Path, rows: Path, steps: int = STEPS) -> tuple[float, float]:
    """Tokens per second, and the mean loss."""
    with tempfile.TemporaryDirectory(prefix="trainer.") as name:
        facts = facts_of(tuned(model, rows, Path(name) / "run", steps))
        losses = [loss for _, loss in facts["curve"]["words"]]
    return facts["processed_tokens"] / facts["training_seconds"], statistics.fmean(losses)


def batches_of(run: Run) -> list[dict[str, list[int]]]:
    """The rows that a finished run was trained on, in the order of its batches."""
    corpus = {task.name: [run.encoder.encode(row) for row in task.train] for task in run.tasks}
    plan = make_plan(corpus, run.tasks, run.recipe.training, run.recipe.seed)
    rows = [corpus[task][row] for batch in plan for task, row in batch]
    return [{"input_ids": list(row.ids), "labels": list(row.labels)} for row in rows]


def plain(model: Path, rows: list[dict[str, list[int]]]) -> tuple[float, float]:
    """The same by what one would write without onsa."""
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        PrinterCallback,
        Trainer,
        TrainingArguments,
    )

    with tempfile.TemporaryDirectory(prefix="trainer.") as name:
        trainer = Trainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=TrainingArguments(
                output_dir=name,
                learning_rate=1e-4,
                warmup_steps=round(0.05 * len(rows) / 8),
                num_train_epochs=1,
                per_device_train_batch_size=8,
                train_sampling_strategy="sequential",
                bf16=compute_dtype("auto") == torch.bfloat16,
                use_cpu=not torch.cuda.is_available(),
                report_to="none",
                disable_tqdm=True,
                logging_strategy="no",
            ),
            train_dataset=rows,
            data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(model)),
        )
        trainer.remove_callback(PrinterCallback)
        started = time.monotonic()
        loss = trainer.train().training_loss
        seconds = time.monotonic() - started
    return sum(len(row["input_ids"]) for row in rows) / seconds, loss


def measure_rows(model: Path, folder: Path, kind: str) -> Ratio:
    rows = write_rows(folder / f"{kind}.jsonl", *LENGTHS[kind])
    run = tuned(model, rows, folder / kind, STEPS)  # a warm-up too
    batches = batches_of(run)
    plain(model, batches[:8])
    losses: dict[str, float] = {}

    def speed(name: str, measured: tuple[float, float]) -> float:
        losses[name] = measured[1]
        return measured[0]

    pairs = in_turns(
        lambda: speed("ours", ours(model, rows)),
        lambda: speed("plain", plain(model, batches)),
        TURNS,
    )
    # In bfloat16 the loss has two to three digits.
    assert abs(losses["ours"] / losses["plain"] - 1) < 0.02, losses
    what = f"tokens/s of `onsa tune` / plain Trainer, {kind}"
    return ratio_of(what, pairs, LEAST, at_most=False)


def measure() -> list[Ratio]:
    with tempfile.TemporaryDirectory(prefix="trainer.") as name:
        folder = Path(name)
        model = model_folder(folder / "model")
        return [measure_rows(model, folder, kind) for kind in LENGTHS]


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
