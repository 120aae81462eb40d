"""Left and right frames find each other by their stamps, or are counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception.io.stereo_sync import Matched, Side, StereoSync

PERIOD = 100
TOLERANCE = 2


def feed(sync: StereoSync, frames: list[tuple[Side, int]]) -> list[tuple[int, int]]:
    pairs = []
    for side, stamp in frames:
        matched = sync.add(side, stamp, stamp)
        if matched is not None:
            pairs.append((matched.left, matched.right))
    return pairs


def test_pairs_whichever_side_comes_first() -> None:
    sync = StereoSync(TOLERANCE)
    assert sync.add("right", 101, "r") is None
    assert sync.add("left", 100, "l") == Matched(100, "l", "r")
    assert sync.add("left", 200, "l") is None
    assert sync.add("right", 199, "r") == Matched(200, "l", "r")


def test_never_pairs_beyond_the_tolerance() -> None:
    sync = StereoSync(TOLERANCE)
    assert feed(sync, [("left", 100), ("right", 103), ("left", 200), ("right", 200)]) == [
        (200, 200)
    ]
    assert sync.unpaired == 2


def test_memory_is_bounded_when_one_camera_is_dead() -> None:
    sync = StereoSync(TOLERANCE, depth=10)
    assert feed(sync, [("left", k * PERIOD) for k in range(1000)]) == []
    assert sync.unpaired == 990
    sync.finish()
    assert sync.unpaired == 1000


@given(
    lost_left=st.sets(st.integers(0, 29)),
    lost_right=st.sets(st.integers(0, 29)),
    delay=st.integers(0, 5),
    seed=st.integers(0, 1000),
)
def test_all_that_can_be_paired_is_and_the_rest_is_counted(
    lost_left: set[int], lost_right: set[int], delay: int, seed: int
) -> None:
    jitter = np.random.default_rng(seed).integers(-1, 2, 30)
    frames: list[tuple[int, Side, int]] = []
    for k in range(30):
        if k not in lost_left:
            frames.append((k, "left", k * PERIOD))
        if k not in lost_right:
            frames.append((k + delay, "right", k * PERIOD + int(jitter[k])))
    frames.sort()
    sync = StereoSync(TOLERANCE)
    pairs = feed(sync, [(side, stamp) for _, side, stamp in frames])
    sync.finish()
    both = sorted(set(range(30)) - lost_left - lost_right)
    assert pairs == [(k * PERIOD, k * PERIOD + int(jitter[k])) for k in both]
    assert sync.unpaired == len(frames) - 2 * len(both)
