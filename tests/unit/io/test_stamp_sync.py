"""Messages of one image find each other by stamp; a part that fell silent is not waited for."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception.io.stamp_sync import Group, StampSync

SECOND = 1_000_000_000
CUES = ("stereo", "mono")


def test_all_parts_of_one_image_come_out_together() -> None:
    sync: StampSync[str] = StampSync(CUES)
    assert sync.add("stereo", 1, "s1", 0.0) == [Group(1, {"stereo": "s1"})], "no mono so far"
    assert sync.add("mono", 1, "m1", 0.01) == []
    assert sync.late == {"stereo": 0, "mono": 1}
    assert sync.add("stereo", 2, "s2", 0.1) == []
    assert sync.add("mono", 2, "m2", 0.12) == [Group(2, {"stereo": "s2", "mono": "m2"})]


def test_three_parts_are_waited_for_each() -> None:
    sync: StampSync[int] = StampSync(("image", "depth", "status"))
    for part in ("image", "depth", "status"):
        sync.expect(part, 0.0)
    assert sync.add("status", 1, 1, 0.0) == []
    assert sync.add("image", 1, 2, 0.01) == []
    assert sync.add("depth", 1, 3, 0.02) == [Group(1, {"status": 1, "image": 2, "depth": 3})]


def test_frame_waits_at_least_the_least_wait_and_then_goes_without_the_missing_part() -> None:
    sync: StampSync[str] = StampSync(CUES, least_wait=0.15, silence=0.5)
    sync.add("mono", 1, "m1", 0.0)
    assert sync.add("stereo", 2, "s2", 0.1) == []
    assert sync.overdue(0.24) == []
    assert sync.overdue(0.26) == [Group(2, {"stereo": "s2"})]


def test_part_that_fell_silent_is_not_waited_for() -> None:
    sync: StampSync[str] = StampSync(CUES, silence=0.5)
    sync.add("stereo", 1, "s1", 0.0)
    assert sync.add("mono", 2, "m2", 0.49) == [], "it was heard half a second ago"
    assert sync.add("mono", 3, "m3", 0.6) == [Group(2, {"mono": "m2"}), Group(3, {"mono": "m3"})]


def test_part_that_is_never_heard_nor_expected_is_not_waited_for() -> None:
    sync: StampSync[int] = StampSync(CUES)
    for k in range(100):
        assert sync.add("stereo", k, k, 0.1 * k) == [Group(k, {"stereo": k})]


def test_very_first_group_waits_for_a_part_that_is_expected() -> None:
    sync: StampSync[str] = StampSync(CUES)
    assert not sync.expects("mono")
    sync.expect("mono", 0.0)
    assert sync.expects("mono") and not sync.expects("stereo")
    assert sync.add("stereo", 1, "s1", 0.0) == []
    assert sync.add("mono", 1, "m1", 0.1) == [Group(1, {"stereo": "s1", "mono": "m1"})]
    assert sync.late == {"stereo": 0, "mono": 0}


def test_part_that_is_expected_and_never_comes_delays_the_first_groups_only() -> None:
    sync: StampSync[str] = StampSync(CUES, least_wait=0.15, silence=0.5)
    sync.expect("mono", 0.0)
    sync.add("stereo", 1, "s1", 0.0)
    sync.expect("mono", 0.4)  # expecting it again is no sign of life
    assert sync.overdue(0.2) == [Group(1, {"stereo": "s1"})]
    assert sync.add("stereo", 2, "s2", 0.6) == [Group(2, {"stereo": "s2"})]


def test_older_group_goes_out_before_a_complete_one() -> None:
    sync: StampSync[str] = StampSync(CUES)
    sync.add("mono", 1, "m1", 0.0)
    sync.add("stereo", 2, "s2", 0.05)
    sync.add("stereo", 3, "s3", 0.06)
    out = sync.add("mono", 3, "m3", 0.07)
    assert out == [Group(2, {"stereo": "s2"}), Group(3, {"stereo": "s3", "mono": "m3"})]


def lagging(behind: float, frames: int, wait: float = 1.0) -> tuple[list[Group[int]], int]:
    """Groups of 10 Hz mono, with stereo so many seconds behind it; and how many came late."""
    sync: StampSync[int] = StampSync(CUES, wait=wait)
    events = [(0.1 * k, "mono", k) for k in range(frames)]
    events += [(0.1 * k + behind, "stereo", k) for k in range(frames)]
    ticks = [(0.01 * k, "", 0) for k in range(round(100 * (0.1 * frames + behind)))]
    groups: list[Group[int]] = []
    for now, part, k in sorted(events + ticks):
        stamp = k * SECOND // 10
        groups += sync.add(part, stamp, k, now) if part else sync.overdue(now)
    return groups + sync.overdue(1e9), sync.late["stereo"]


@pytest.mark.parametrize("behind", [0.02, 0.2, 0.4, 0.6])
def test_wait_follows_the_lag_of_the_slower_part(behind: float) -> None:
    """Stereo that takes 400 ms at 10 Hz is late for the first frames, and then waited for."""
    groups, late = lagging(behind, 60)
    assert [group.stamp_ns for group in groups] == [k * SECOND // 10 for k in range(60)]
    alone = [k for k, group in enumerate(groups) if len(group.parts) == 1]
    assert len(alone) == late
    assert all(k < 10 for k in alone), f"frames without stereo: {alone}"
    if behind >= 0.2:
        assert late > 0, "before the lag was known it came too late, and that is counted"


def test_no_group_waits_longer_than_the_bound() -> None:
    groups, late = lagging(0.6, 60, wait=0.3)
    assert late == 60 and all(set(group.parts) == {"mono"} for group in groups)


def test_lag_is_forgotten_when_the_part_is_fast_again() -> None:
    sync: StampSync[int] = StampSync(CUES)
    sync.expect("stereo", 0.0)
    for k in range(60):
        sync.add("mono", k, k, 0.1 * k)
        sync.add("stereo", k, k, 0.1 * k + (0.09 if k < 20 else 0.01))
        if k == 19:
            assert sync.lag("stereo") == pytest.approx(0.09)
    assert sync.lag("stereo") == pytest.approx(0.01)


def test_recording_that_starts_again_is_not_late() -> None:
    sync: StampSync[str] = StampSync(CUES)
    sync.add("mono", 100 * SECOND, "m", 0.0)
    sync.add("stereo", 100 * SECOND + 1, "waits", 0.1)
    assert sync.add("stereo", 100 * SECOND - SECOND // 2, "late", 0.11) == []
    assert sync.late["stereo"] == 1, "half a second back is a late part"
    assert sync.add("stereo", 5 * SECOND, "again", 0.12) == [], "what waited is of the old time"
    both = {"stereo": "again", "mono": "m"}
    assert sync.add("mono", 5 * SECOND, "m", 0.13) == [Group(5 * SECOND, both)]
    assert sync.late == {"stereo": 1, "mono": 0}


def size(value: object) -> int:
    """Bytes of a container and of what it holds, however deep."""
    inner = getattr(value, "__dict__", None) or value
    own = sys.getsizeof(inner)
    if isinstance(inner, dict):
        return own + sum(size(k) + size(v) for k, v in inner.items())
    if isinstance(inner, str | bytes) or not isinstance(inner, Iterable):
        return own
    return own + sum(size(one) for one in inner)


@pytest.mark.parametrize("restarts", [False, True])
def test_memory_is_bounded_however_much_comes_and_whatever_is_missing(restarts: bool) -> None:
    """Also when the clock stands still, so that no wait ever ends."""
    sync: StampSync[int] = StampSync(CUES, wait=3600.0, least_wait=3600.0, silence=3600.0)
    sync.expect("stereo", 0.0)
    sizes, out = [], 0
    for k in range(4000):
        stamp = (k % 500 if restarts else k) * SECOND
        out += len(sync.add("mono", stamp, k, 0.0))
        if k % 1000 == 999:
            sizes.append(size(sync))
    assert max(sizes[1:]) <= sizes[0] + 4096, sizes
    assert out >= 4000 - 8 * 100, "the oldest goes out as it is"


@given(st.integers(0, 2**32 - 1))
def test_every_stamp_comes_out_once_and_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sync: StampSync[int] = StampSync(("stereo", "mono", "status"))
    groups: list[Group[int]] = []
    given = 0
    now = 0.0
    for k in range(200):
        now += 0.05
        for part in rng.permutation(["stereo", "mono", "status"]):
            if rng.random() < 0.7:
                given += 1
                stamp = max(1, k + 1 - int(rng.integers(3)))
                groups += sync.add(str(part), stamp, k, now)
        groups += sync.overdue(now)
    groups += sync.overdue(now + 10.0)
    stamps = [group.stamp_ns for group in groups]
    assert stamps == sorted(set(stamps))
    repeated = given - sum(sync.late.values()) - sum(len(group.parts) for group in groups)
    assert repeated >= 0, "nothing comes out that did not go in"
    assert all(group.parts for group in groups)


@given(st.integers(0, 2**32 - 1))
def test_every_part_comes_out_or_is_counted_as_late(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sync: StampSync[int] = StampSync(CUES)
    groups: list[Group[int]] = []
    arrivals = [
        (0.05 * k + float(rng.exponential(0.1)), str(part), k)
        for k in range(200)
        for part in CUES
        if rng.random() < 0.8
    ]
    for now, part, k in sorted(arrivals):
        groups += sync.add(part, k, k, now)
    groups += sync.overdue(1e9)
    parts = sum(len(group.parts) for group in groups)
    assert parts + sum(sync.late.values()) == len(arrivals)
    assert all(value == group.stamp_ns for group in groups for value in group.parts.values())
