"""Stereo and mono of the same image find each other, and nobody waits for the silent."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from ssl_perception.io.cue_sync import CueSync, Frame


def test_both_cues_of_one_image_come_out_together() -> None:
    sync: CueSync[str] = CueSync()
    assert sync.add("stereo", 1, "s1", 0.0) == [Frame(1, "s1", None)], "no mono heard so far"
    assert sync.add("mono", 1, "m1", 0.01) == []
    assert sync.late == 1
    assert sync.add("stereo", 2, "s2", 0.1) == []
    assert sync.add("mono", 2, "m2", 0.12) == [Frame(2, "s2", "m2")]


def test_a_frame_waits_a_little_and_then_goes_alone() -> None:
    sync: CueSync[str] = CueSync(wait=0.15, silence=0.5)
    sync.add("mono", 1, "m1", 0.0)
    assert sync.add("stereo", 2, "s2", 0.1) == []
    assert sync.overdue(0.2) == []
    assert sync.overdue(0.26) == [Frame(2, "s2", None)]


def test_a_cue_that_fell_silent_is_not_waited_for() -> None:
    sync: CueSync[str] = CueSync(wait=0.15, silence=0.5)
    sync.add("stereo", 1, "s1", 0.0)
    assert sync.add("mono", 2, "m2", 0.6) == [Frame(2, None, "m2")]


def test_what_is_older_than_a_complete_frame_goes_out_before_it() -> None:
    sync: CueSync[str] = CueSync()
    sync.add("mono", 1, "m1", 0.0)
    sync.add("stereo", 2, "s2", 0.05)
    sync.add("stereo", 3, "s3", 0.06)
    assert sync.add("mono", 3, "m3", 0.07) == [Frame(2, "s2", None), Frame(3, "s3", "m3")]


def test_a_recording_that_starts_again_is_not_late() -> None:
    sync: CueSync[str] = CueSync()
    second = 1_000_000_000
    assert sync.add("stereo", 100 * second, "s", 0.0)
    assert sync.add("stereo", 5 * second, "again", 0.1) == [Frame(5 * second, "again", None)]


@given(st.integers(0, 2**32 - 1))
def test_every_frame_comes_out_once_and_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sync: CueSync[int] = CueSync()
    out: list[Frame[int]] = []
    told = 0
    now = 0.0
    for k in range(200):
        now += 0.05
        for side in rng.permutation(["stereo", "mono"]):
            if rng.random() < 0.7:
                told += 1
                out += sync.add(side, k + 1, k, now)
        out += sync.overdue(now)
    out += sync.overdue(now + 10.0)
    stamps = [frame.stamp_ns for frame in out]
    assert stamps == sorted(set(stamps))
    parts = sum((f.stereo is not None) + (f.mono is not None) for f in out)
    assert parts + sync.late == told
