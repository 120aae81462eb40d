"""Memory is counted anew in each block."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ssl_perception.evaluation.resident_memory import PeakMemory, resident_megabytes

# without it the peak is of the process's whole life, which is told but proves nothing here
COUNTS_ANEW = os.access("/proc/self/clear_refs", os.W_OK)


@pytest.mark.skipif(not COUNTS_ANEW, reason="this kernel can't count the peak anew")
def test_each_block_has_a_peak_of_its_own() -> None:
    before = resident_megabytes()
    with PeakMemory() as large:
        np.ones(200 << 17)  # 200 MiB of float64, written, and gone
    with PeakMemory() as small:
        pass
    assert before + 190 < large.megabytes < before + 300
    assert small.megabytes < before + 100
