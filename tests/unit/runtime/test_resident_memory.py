"""A peak of memory can be counted anew."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ssl_perception.runtime.resident_memory import forget_peak, peak_megabytes, resident_megabytes

# without it the peak is of the process's whole life, which is told but proves nothing here
COUNTS_ANEW = os.access("/proc/self/clear_refs", os.W_OK)


@pytest.mark.skipif(not COUNTS_ANEW, reason="this kernel can't count the peak anew")
def test_a_peak_is_forgotten() -> None:
    before = resident_megabytes()
    forget_peak()
    np.ones(200 << 17)  # 200 MiB of float64, written, and gone
    large = peak_megabytes()
    forget_peak()
    assert before + 190 < large < before + 300
    assert peak_megabytes() < before + 100
