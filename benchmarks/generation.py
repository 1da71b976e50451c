"""How long does generation for scoring take, against plain `generate` in a loop?

    python -m benchmarks.generation

The same prompts of mixed lengths, the same greedy replies: once batched, left-padded, the longest
first, as scoring does it; once one after another. The replies must agree.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import HEAD, Ratio, in_turns, model_folder, ratio_of
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.evaluation.scorer import Scorer
from onsa.models.device import device
from onsa.models.loading import load_model
from onsa.models.tokenizer import load_tokenizer
from onsa.weights import Weights

ROWS, NEW_TOKENS, BATCH = 24, 16, 24
TURNS = 3
MOST = 0.5
LEAST_ALIKE = 0.9  # of the replies: sums in another order may turn a near tie
WORDS = ("stone", "river", "cloud", "paper", "seven", "green", "north", "bread", "night", "glass")


def questions() -> list[Example]:
    draw = random.Random(0)
    return [
        Example(
            (
                {"role": "user", "content": " ".join(draw.choices(WORDS, k=draw.randint(4, 60)))},
                {"role": "assistant", "content": "yes"},
            )
        )
        for _ in range(ROWS)
    ]


@torch.inference_mode()
def one_by_one(model: Any, encoder: Encoder, rows: list[Example]) -> list[str]:
    """What one would write without onsa."""
    replies = []
    for row in rows:
        ids = torch.tensor([encoder.encode_prompt(row)], device=model.device)
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=sorted(encoder.end_tokens),
            pad_token_id=encoder.tokenizer.pad_token_id,
        )
        text = encoder.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        replies.append(text.strip())
    return replies


def measure() -> list[Ratio]:
    with tempfile.TemporaryDirectory(prefix="generation.") as name:
        folder = model_folder(Path(name))
        model = load_model(Weights(folder)).to(device()).eval()
        encoder = Encoder(load_tokenizer(folder), 1024)
    rows, scorer = questions(), Scorer(model, encoder, BATCH)
    said: dict[str, list[str]] = {}

    def seconds(name: str, reply: Any) -> float:
        started = time.perf_counter()
        said[name] = reply()
        return time.perf_counter() - started

    def ours() -> float:
        return seconds("ours", lambda: scorer.reply(rows, NEW_TOKENS, lambda n: None))

    def theirs() -> float:
        return seconds("theirs", lambda: one_by_one(model, encoder, rows))

    pairs = in_turns(ours, theirs, TURNS)
    alike = sum(a == b for a, b in zip(said["ours"], said["theirs"], strict=True)) / ROWS
    assert alike >= LEAST_ALIKE, f"only {alike:.0%} of the replies agree"
    return [ratio_of("seconds of replies for scoring / generate in a loop", pairs, MOST)]


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
