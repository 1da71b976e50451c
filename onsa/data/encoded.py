"""Token ids of one example, and which of them are trained."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

UNTRAINED = -100


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example; `labels` equal the ids where trained, elsewhere `UNTRAINED`.

    Both are kept as arrays of 32-bit integers, a fifth of what a list of numbers takes.
    """

    ids: Sequence[int]
    labels: Sequence[int]
    lost_tokens: int = 0  # reply tokens, or tokens a head would read, that the limit cut off
    cut_tokens: int = 0  # all that it cut off
    weight: float = 1.0  # of its loss
    target: int | float | tuple[int, ...] | None = None  # for a head; there are no labels then
    type_ids: Sequence[int] | None = None  # of which text of a pair each token is, for BERT's kin
    other_ids: Sequence[int] | None = None  # of the reply that was not liked, for a ranking

    def __post_init__(self) -> None:
        for name in ("ids", "labels"):
            if not isinstance(getattr(self, name), array):
                object.__setattr__(self, name, array("i", getattr(self, name)))

    @cached_property
    def trained_tokens(self) -> int:
        """Tokens that are trained; what a head says counts as one."""
        if self.target is not None:
            return 1
        # The first token is never predicted, so it never counts.
        return max(0, len(self.labels) - 1) - self.labels[1:].count(UNTRAINED)
