"""How long do rows take until they can be trained on, against `datasets.map` and again from disk?

    python -m benchmarks.encoding [--rows 50000]

Short conversations. The yardstick is one `map` as recipes on the web have it: ids of the whole,
ids of the prompt, so many labels masked. Ours finds every reply by its place in the text and
checks its end. Then the same rows in a new process's place: read back from the cache by content.
Processor seconds, so that a busy machine judges fairly. Needs `datasets` for the first.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import HEAD, Ratio, in_turns, model_folder, ratio_of
from onsa.data.encoded import Encoded
from onsa.data.encoding import Encoder, encode
from onsa.data.example import Example
from onsa.data.token_cache import TokenCache
from onsa.models.tokenizer import load_tokenizer

ROWS = 20_000
TURNS = 3
WORDS = ("stone", "river", "cloud", "paper", "seven", "green", "north", "bread", "night", "glass")


def conversations(count: int) -> list[Example]:
    draw = random.Random(0)

    def text(most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, most)))

    return [
        Example(
            (
                {"role": "user", "content": f"{number} {text(40)}"},
                {"role": "assistant", "content": text(30)},
            )
        )
        for number in range(count)
    ]


def mapped(tokenizer: Any, rows: list[Example]) -> Callable[[], Any]:
    """What one would write without onsa."""
    import datasets

    datasets.disable_progress_bars()
    datasets.disable_caching()
    data = datasets.Dataset.from_list([{"messages": list(row.messages)} for row in rows])

    def ids(messages: list[Any], prompt: bool) -> list[int]:
        found = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, add_generation_prompt=prompt
        )
        return list(found["input_ids"])

    def masked(row: dict[str, Any]) -> dict[str, Any]:
        whole, prompt = ids(row["messages"], False), ids(row["messages"][:-1], True)
        return {"input_ids": whole, "labels": [-100] * len(prompt) + whole[len(prompt) :]}

    return lambda: data.map(masked)


def processor_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(count: int = ROWS) -> list[Ratio]:
    with tempfile.TemporaryDirectory(prefix="encoding.") as name:
        tokenizer = load_tokenizer(model_folder(Path(name) / "model"))
        rows = conversations(count)
        cache = TokenCache(Path(name) / "tokens", "0" * 40)

        def together(kept: TokenCache | None = None) -> list[Encoded]:
            return Encoder(tokenizer, 1024, cache=kept).encode_all(rows)

        encoder = Encoder(tokenizer, 1024)
        assert together(cache) == together(cache) == [encode(row, encoder) for row in rows]
        yardsticks = [("rows read back / encoded", lambda: together(cache), together, 0.25)]
        if importlib.util.find_spec("datasets"):
            yardsticks.append(("encoded / datasets.map", together, mapped(tokenizer, rows), 0.75))
        found = []
        for what, ours, theirs, most in yardsticks:
            pairs = in_turns(
                lambda ours=ours: processor_seconds(ours),
                lambda theirs=theirs: processor_seconds(theirs),
                TURNS,
            )
            found.append(ratio_of(f"processor seconds, {what}", pairs, most))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    print(HEAD, *measure(parser.parse_args().rows), sep="\n")
