"""Memory is counted anew in each block."""

from __future__ import annotations

import numpy as np

from ssl_perception.evaluation.resident_memory import PeakMemory, resident_megabytes


def test_each_block_has_a_peak_of_its_own() -> None:
    before = resident_megabytes()
    with PeakMemory() as large:
        np.ones(200 << 17)  # 200 MiB of float64, written, and gone
    with PeakMemory() as small:
        pass
    assert before + 190 < large.megabytes < before + 300
    assert small.megabytes < before + 100
