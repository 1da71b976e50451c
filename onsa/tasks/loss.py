"""Held-out loss on the replies: for open conversations, where no reply is the only right one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onsa.data.example import Example
from onsa.tasks import Kind
from onsa.tasks._files import FileSettings, load_files


def perplexity(loss: float) -> float:
    """e to the power of a loss; infinite where no float can hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def how(settings: FileSettings, examples: Sequence[Example]) -> str:
    return (
        "Perplexity is e to the mean loss; a row's loss is the mean over its reply tokens, and all "
        "rows weigh the same. It compares models with one tokenizer only."
    )


KIND = Kind(
    name="loss",
    summary="The mean loss on the tokens of held-out replies; lower is better.",
    settings=FileSettings,
    load=load_files,
    metric="loss",
    mode="loss",
    higher_is_better=False,
    restated={"perplexity": perplexity},
    lower_is_better=frozenset({"perplexity"}),
    how=how,
)
