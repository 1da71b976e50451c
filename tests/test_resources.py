"""The peak of memory is that of the work measured, not of what was there and freed before."""

from __future__ import annotations

import sys

import pytest
import torch

from onsa.resources import PeakMemory

SIZE = 300_000_000  # bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak cannot be reset there")
@pytest.mark.skipif(torch.cuda.is_available(), reason="the accelerator's own memory is counted")
def test_what_was_freed_before_does_not_count() -> None:
    with PeakMemory() as nothing:
        pass
    with PeakMemory() as large:
        whole = torch.ones(SIZE // 4)
        small = [torch.ones(10_000) for _ in range(SIZE // 40_000)]  # below the size of a mapping
        del whole
    assert large.bytes - nothing.bytes > 1.5 * SIZE
    del small
    with PeakMemory() as after:
        pass
    assert after.bytes - nothing.bytes < 0.5 * SIZE
