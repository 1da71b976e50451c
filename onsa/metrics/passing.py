"""pass@k: the chance that one of k replies passes (Chen et al. 2021, arXiv:2107.03374)."""

from __future__ import annotations

import math


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The unbiased estimate 1 - C(n - c, k) / C(n, k) from n samples of which c passed."""
    assert 0 <= passed <= samples, "some of the samples passed"
    assert 1 <= k <= samples, "no more than were drawn"
    if samples - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / count for count in range(samples - passed + 1, samples + 1))
