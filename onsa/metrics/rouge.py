"""ROUGE of two lists of words (Lin 2004): F-measures of shared n-grams and of the longest common
subsequence. The subsequence is found bit by bit in whole numbers (Hyyrö 2004), a word at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

Words = Sequence[Hashable]


def rouge_n(reply: Words, reference: Words, n: int) -> float:
    """F-measure of the n-grams that both have; 0 where either has none."""
    ours, theirs = (_ngrams(words, n) for words in (reply, reference))
    return _f_measure((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(reply: Words, reference: Words) -> float:
    """F-measure of the longest common subsequence."""
    return _f_measure(common_length(reply, reference), len(reply), len(reference))


def common_length(one: Words, other: Words) -> int:
    """The length of the longest common subsequence."""
    places: dict[Hashable, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | (1 << place)
    everything = (1 << len(one)) - 1
    free = everything  # a bit that is not set: the subsequence grew at that word
    for word in other:
        kept = free & places.get(word, 0)
        free = ((free + kept) | (free - kept)) & everything
    return len(one) - free.bit_count()


def _ngrams(words: Words, n: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _f_measure(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / (ours + theirs) if shared else 0.0
