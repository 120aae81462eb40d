"""Results come back from a bag with what the messages say, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_perception.io.output import OutputBag
from ssl_perception.io.results import read_scans
from ssl_perception.types import Cue, ObstacleScan

STAMP = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("written", "ranges", "read"),
    [
        (Cue.STEREO, 2.0, None),
        (Cue.MONO, 2.0, None),
        (None, np.inf, None),
        (Cue.NONE, np.nan, Cue.NONE),
    ],
)
def test_a_scan_from_a_bag_does_not_claim_a_cue(
    written: Cue | None, ranges: float, read: Cue | None, tmp_path: Path
) -> None:
    path = tmp_path / "out.mcap"
    scan = ObstacleScan(np.full(72, ranges), 0.0, 0.1, 0.2, 40.0, 1.7e9, "body", written)
    with OutputBag(path) as bag:
        bag.obstacle_distance(STAMP, scan)
    ((stamp, back),) = read_scans(path)
    assert stamp == STAMP
    assert back.cue is read
    np.testing.assert_array_equal(back.ranges, scan.ranges)
