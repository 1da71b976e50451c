"""What does it cost to hold 1 % of all entries during a training step?

    python -m benchmarks.step

Two copies of a model of 135 million entries in one process: forward, backward, clipping, AdamW,
and for one of them the holding as in training: gradients zeroed where they have just been
accumulated, values put back after the optimizer. The held entries are drawn at random, which
spreads them over all memory: the worst case. The copies change roles halfway, so that it does not
matter where in memory each lies. The batch is small (8 x 64 tokens): the work of holding does not
grow with it, so its share is larger than in most trainings.

Two steps of a second or two differ by several per cent for no reason, so beside the ratio of whole
steps stands what is spent inside the holding's own calls.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import HEAD, Ratio, in_turns, model_folder, ratio_of
from onsa.isolation import Hold
from onsa.masks import ParameterMask
from onsa.models.device import compute_dtype, device
from onsa.models.loading import load_model
from onsa.weight_ops import random_entries
from onsa.weights import Weights

SHARE = 0.01
BATCH = (8, 64)
TURNS = 8  # with each copy as the held one
MOST = 1.02

Pairs = list[tuple[float, float]]


class Copy:
    """A model with its optimizer, ready for steps; nothing or something held."""

    def __init__(self, weights: Weights, ids: torch.Tensor) -> None:
        self.model = load_model(weights).to(device()).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-5, fused=True)
        self.ids = ids.to(device())
        self.hold: Hold | None = None
        self.watch = Watch()

    def take_hold(self, mask: ParameterMask) -> None:
        """Hold the entries of `mask`, with a watch on the two things that holding does."""
        self.hold = Hold(self.model, mask)
        for held in self.hold.partly:
            held.hook.remove()
            held.hook = held.parameter.register_post_accumulate_grad_hook(
                partial(self.watch.time, held.zero_gradient)
            )

    def let_go(self) -> None:
        assert self.hold is not None
        self.hold.release()
        self.hold = None

    def seconds(self) -> float:
        """One training step."""
        _wait()
        started = time.perf_counter()
        with torch.autocast(device().type, torch.bfloat16, enabled=_bfloat16()):
            loss = self.model(input_ids=self.ids, labels=self.ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.hold is not None:
            self.watch.time(self.hold.put_back)
        self.optimizer.zero_grad()
        _wait()
        return time.perf_counter() - started


class Watch:
    """Seconds spent in calls."""

    def __init__(self) -> None:
        self.total = 0.0

    def time(self, function: Callable[..., None], *arguments: Any) -> None:
        _wait()
        started = time.perf_counter()
        function(*arguments)
        _wait()
        self.total += time.perf_counter() - started


def _bfloat16() -> bool:
    return compute_dtype("auto") == torch.bfloat16


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure_pairs(held: Copy, free: Copy, mask: ParameterMask) -> tuple[Pairs, Pairs]:
    """Seconds of (a held step, a free one), and of (a held step, the same without the holding)."""
    held.take_hold(mask)
    for copy in (held, free):
        copy.seconds()
    within: Pairs = []

    def held_step() -> float:
        held.watch.total = 0.0
        seconds = held.seconds()
        within.append((seconds, seconds - held.watch.total))
        return seconds

    pairs = in_turns(held_step, free.seconds, TURNS)
    held.let_go()
    return pairs, within


def measure() -> list[Ratio]:
    with tempfile.TemporaryDirectory(prefix="step.") as name:
        weights = Weights(model_folder(Path(name)))
        ids = torch.randint(0, 256, BATCH, generator=torch.Generator().manual_seed(0))
        one, other = Copy(weights, ids), Copy(weights, ids)
        mask = random_entries(weights.float_shapes, int(SHARE * weights.entry_count), 0)
    halves = [measure_pairs(one, other, mask), measure_pairs(other, one, mask)]
    pairs, within = ([pair for half in halves for pair in half[part]] for part in (0, 1))
    return [
        ratio_of("seconds of a step with 1 % held / without", pairs, MOST),
        ratio_of("the same, by what is spent in the holding's calls", within, MOST),
    ]


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
