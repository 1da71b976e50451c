"""`onsa chat`: talk to what a run made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.evaluation.scorer import Scorer
from onsa.language import tell
from onsa.models.base_model import find_tuned, open_tuned
from onsa.models.device import compute_dtype, device
from onsa.models.loading import load_model
from onsa.models.tokenizer import load_tokenizer


def converse(run: Path, system: str, max_new_tokens: int) -> None:
    """Read lines from standard input and print the model's replies, until an empty line."""
    scorer = load_scorer(run)
    messages = [{"role": "system", "content": system}] if system else []
    for line in _lines():
        messages.append({"role": "user", "content": line})
        reply = reply_to(scorer, messages, max_new_tokens)
        messages.append({"role": "assistant", "content": reply})
        print(reply, flush=True)


def load_scorer(run: Path) -> Scorer:
    """The run's tuned model, or the model in the folder itself, ready to reply."""
    folder = find_tuned(run, "onsa chat")
    model = load_model(open_tuned(folder), compute_dtype("auto")).to(device()).eval()
    return Scorer(model, Encoder(load_tokenizer(folder), max_length=2**20), batch_size=1)


def reply_to(scorer: Scorer, messages: list[dict[str, str]], max_new_tokens: int) -> str:
    example = Example((*messages, {"role": "assistant", "content": ""}))
    return scorer.reply([example], max_new_tokens, lambda n: None)[0]


def _lines() -> Iterator[str]:
    prompt = tell("you> ") if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        if not line:
            return
        yield line
