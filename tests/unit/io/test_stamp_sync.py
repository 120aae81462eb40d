"""Messages of the same image find each other, however far one topic is behind the other."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception.io.stamp_sync import Absence, Group, StampSync

SECOND = 1_000_000_000
PERIOD = 0.1  # s between images
SILENT, SKIPPED, LATE = Absence.SILENT, Absence.SKIPPED, Absence.LATE


def pair(wait: float = 1.0, silence: float = 0.5) -> StampSync[str]:
    return StampSync(("stereo", "mono"), wait=wait, silence=silence)


def known_pair() -> StampSync[str]:
    """Both parts have been heard, and are no time apart."""
    sync = pair()
    sync.expect("mono")
    assert sync.add("stereo", 1, "s1", 0.0) == []
    assert sync.add("mono", 1, "m1", 0.0) == [Group(1, {"stereo": "s1", "mono": "m1"})]
    return sync


def play(
    sync: StampSync[int],
    lags: Mapping[str, float],
    frames: int = 60,
    every: Mapping[str, int] | None = None,
    first: float = 0.0,
) -> list[tuple[float, Group[int]]]:
    """Images at 10 Hz, each part so many seconds behind; when each group came out.

    Args:
        lags: s, by part.
        every: a part that answers to each n-th image alone.
        first: s, time and stamp of the first image.
    """
    events = [
        (first + k * PERIOD + lag, part, round((first + k * PERIOD + 1.0) * SECOND))
        for k in range(frames)
        for part, lag in lags.items()
        if k % (every or {}).get(part, 1) == 0
    ]
    heapq.heapify(events)
    out: list[tuple[float, Group[int]]] = []
    now = first
    while events:
        now += 0.01
        while events and events[0][0] <= now:
            came, part, stamp = heapq.heappop(events)
            out += [(came, group) for group in sync.add(part, stamp, stamp, came)]
        out += [(now, group) for group in sync.overdue(now)]
    return out + [(now + 9.0, group) for group in sync.overdue(now + 9.0)]


@pytest.mark.parametrize("lag", [0.0, 0.1, 0.3, 0.4, 0.6])
def test_every_frame_waits_for_a_part_that_is_far_behind(lag: float) -> None:
    sync: StampSync[int] = StampSync(("stereo", "mono"))
    sync.expect("stereo")
    sync.expect("mono")
    out = play(sync, {"mono": 0.0, "stereo": lag})
    assert len(out) == 60
    assert all(not group.absent for _, group in out), "the very first one too"
    assert sync.late == {"stereo": 0, "mono": 0}
    assert sync.lag("stereo") == pytest.approx(lag, abs=0.02)
    delays = [when - (group.stamp_ns / SECOND - 1.0) for when, group in out]
    assert max(delays) < lag + 0.03, "and no longer than that"


def test_the_wait_is_learnt_from_what_comes_too_late() -> None:
    sync: StampSync[int] = StampSync(("stereo", "mono"))  # nothing is expected
    out = play(sync, {"mono": 0.0, "stereo": 0.4})
    assert all(not group.absent for _, group in out[5:])
    assert sync.late["stereo"] <= 5

    before = sync.late["stereo"]
    out = play(sync, {"mono": 0.0, "stereo": 0.8}, first=10.0)  # the machine has become busy
    assert all(not group.absent for _, group in out[10:])
    assert sync.late["stereo"] - before <= 10

    out = play(sync, {"mono": 0.0, "stereo": 0.05}, first=20.0)  # and idle again
    died = play(sync, {"mono": 0.0}, frames=3, first=26.0)
    when, group = died[0]
    assert group.absent == {"stereo": LATE}
    assert when == pytest.approx(26.0 + 0.15, abs=0.02), "it waits no longer than it must"


def test_no_group_waits_longer_than_it_may() -> None:
    sync: StampSync[int] = StampSync(("stereo", "mono"), wait=0.3)
    sync.expect("stereo")
    out = play(sync, {"mono": 0.0, "stereo": 0.7})
    assert all(set(group.absent) == {"stereo"} for _, group in out)
    assert all(group.absent["stereo"] is LATE for _, group in out[10:50])
    assert sync.late["stereo"] == 60, "all of them"
    assert sync.lag("stereo") == pytest.approx(0.7, abs=0.02), "and it can be said how late"
    delays = [when - (group.stamp_ns / SECOND - 1.0) for when, group in out]
    assert max(delays) < 0.33


def test_a_part_more_than_a_second_behind_is_late_and_no_other_recording() -> None:
    sync: StampSync[int] = StampSync(("stereo", "mono"), wait=0.3)
    out = play(sync, {"mono": 0.0, "stereo": 2.5})
    assert len(out) == 60
    assert sync.late == {"stereo": 60, "mono": 0}
    assert sync.lag("stereo") == pytest.approx(2.5, abs=0.02)


def test_a_part_that_answers_to_every_fourth_image_alone_has_skipped_the_others() -> None:
    sync: StampSync[int] = StampSync(("stereo", "mono"))
    sync.expect("stereo")
    out = play(sync, {"mono": 0.0, "stereo": 0.4}, every={"stereo": 4})
    reasons = [group.absent.get("stereo") for _, group in out[:57]]
    assert reasons == [None if k % 4 == 0 else SKIPPED for k in range(57)]
    assert sync.late["stereo"] == 0


def test_a_part_that_is_not_expected_is_not_waited_for() -> None:
    assert pair().add("stereo", 1, "s1", 0.0) == [Group(1, {"stereo": "s1"}, {"mono": SILENT})]


def test_an_expected_part_is_waited_for_but_not_for_ever() -> None:
    sync = pair(wait=1.0)
    sync.expect("mono")
    assert sync.expects("mono") and not sync.expects("stereo")
    assert sync.add("stereo", 1, "s1", 5.0) == []
    assert sync.overdue(5.9) == []
    assert sync.overdue(6.01) == [Group(1, {"stereo": "s1"}, {"mono": SILENT})]
    sync.expect("mono")  # its publisher is still there
    assert sync.add("stereo", 2, "s2", 6.1) == [Group(2, {"stereo": "s2"}, {"mono": SILENT})]


def test_a_part_that_fell_silent_is_not_waited_for() -> None:
    sync = known_pair()
    assert sync.add("mono", 2, "m2", 0.1) == []
    assert sync.overdue(0.59) == []
    assert sync.overdue(0.61) == [Group(2, {"mono": "m2"}, {"stereo": SILENT})]
    assert sync.add("mono", 3, "m3", 0.7) == [Group(3, {"mono": "m3"}, {"stereo": SILENT})]


def test_a_slow_camera_is_no_silence() -> None:
    """Nothing comes between two images: that says nothing about any part."""
    sync = known_pair()
    for k in range(2, 6):
        assert sync.add("mono", k, "m", 3.0 * k) == []
        assert sync.add("stereo", k, "s", 3.0 * k + 0.2) == [Group(k, {"stereo": "s", "mono": "m"})]


def test_what_is_older_than_a_complete_group_goes_out_before_it() -> None:
    sync = known_pair()
    sync.add("stereo", 2, "s2", 0.05)
    sync.add("stereo", 3, "s3", 0.06)
    assert sync.add("mono", 3, "m3", 0.07) == [
        Group(2, {"stereo": "s2"}, {"mono": SKIPPED}),
        Group(3, {"stereo": "s3", "mono": "m3"}),
    ]


def test_nothing_needs_to_wait_when_all_is_over() -> None:
    sync = known_pair()
    assert sync.add("mono", 2, "m2", 0.1) == []
    assert [group.parts for group in sync.overdue(math.inf)] == [{"mono": "m2"}]


def test_stamps_that_go_back_are_another_recording() -> None:
    sync: StampSync[int] = StampSync(("stereo", "mono"))
    sync.expect("stereo")
    play(sync, {"mono": 0.0, "stereo": 0.3}, frames=30, first=100.0)
    # the first images again, while stereo still answers to two of the last ones
    for k in range(3):
        assert sync.add("mono", (5 + k) * SECOND // 10, k, 103.2 + k / 10) == []
    for k in (0, 1):
        assert sync.add("stereo", (1040 + k) * SECOND // 10, -1, 103.4) == []
    out = [g for k in range(3) for g in sync.add("stereo", (5 + k) * SECOND // 10, k, 103.5)]
    assert [(g.stamp_ns, g.parts) for g in out] == [
        ((5 + k) * SECOND // 10, {"mono": k, "stereo": k}) for k in range(3)
    ]
    assert sync.late == {"stereo": 2, "mono": 0}


@given(st.integers(0, 2**32 - 1))
def test_every_stamp_comes_out_once_and_in_order_and_nothing_is_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = ("stereo/depth", "stereo/status", "mono/depth")
    sync: StampSync[int] = StampSync(names)
    for name in names:
        if rng.random() < 0.5:
            sync.expect(name)
    behind = {name: rng.uniform(0.0, 1.5) for name in names}
    came = sorted(
        (k * PERIOD + behind[name] + rng.uniform(0.0, 0.09), name, k + 1)
        for k in range(100)
        for name in names
        if rng.random() < 0.7
    )
    out: list[Group[int]] = []
    for now, name, stamp in came:
        out += sync.add(name, stamp, stamp, now)
        if rng.random() < 0.3:
            out += sync.overdue(now)
    out += sync.overdue(came[-1][0] + 10.0)
    stamps = [group.stamp_ns for group in out]
    assert stamps == sorted(set(stamps))
    assert all({*group.parts, *group.absent} == set(names) for group in out)
    assert all(value == group.stamp_ns for group in out for value in group.parts.values())
    assert sum(len(group.parts) for group in out) + sum(sync.late.values()) == len(came)
