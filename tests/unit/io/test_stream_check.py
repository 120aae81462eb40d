"""Rates, stamps and frames of a topic: what is wrong is said by name, and what is right isn't."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ssl_perception.io.stream_check import Header, StreamCheck, offsets

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
EVEN = [START + k * SECOND // 10 for k in range(20)]
RNG = np.random.default_rng(1)


def check(
    stamps: Sequence[int],
    frame: Callable[[int], str] = lambda k: "lidar",
    received: float | None = 0.02,
) -> StreamCheck:
    found = StreamCheck("points", slowest=0.5, fastest=0.01)
    for k, stamp in enumerate(stamps):
        late = None if received is None else stamp + round(received * 1e9)
        found.add(Header("points", stamp, frame(k), late))
    return found


def shaken(share: float) -> list[int]:
    return [s + int(RNG.uniform(-share, share) * SECOND / 10) for s in EVEN]


FAULTS = {
    "stamps are 0": check([0] * 20, received=None),
    "stamps go back": check([*EVEN[:10], *EVEN[:10]]),
    "stamps come twice": check([s for s in EVEN for _ in range(2)]),
    "1 Hz; at least 2 Hz are needed": check([START + k * SECOND for k in range(8)]),
    "1e+03 Hz; at most 100 Hz can be used": check([START + k * 1_000_000 for k in range(20)]),
    "messages are missing": check([s for k, s in enumerate(EVEN) if k % 4]),
    "stamps jitter by more than a fifth of their period": check(shaken(0.45)),
    "stamps are 37 s behind the time of recording": check(EVEN, received=37.0),
    "stamps are 0.2 s ahead of the time of recording": check(EVEN, received=-0.2),
    "frame_id is empty": check(EVEN, lambda k: ""),
    "frame_id changes": check(EVEN, lambda k: "ab"[k % 2]),
}


@pytest.mark.parametrize("line", FAULTS)
def test_a_fault_is_said_by_name(line: str) -> None:
    found = FAULTS[line].findings()
    assert line in [finding.wrong for finding in found]
    assert all(finding.mend and finding.subject == "points" for finding in found)


@pytest.mark.parametrize("stamps", [EVEN, shaken(0.05), EVEN[:4]], ids=["even", "shaken", "few"])
def test_what_is_right_is_not_blamed(stamps: list[int]) -> None:
    assert check(stamps).findings() == []
    assert check(stamps).period == pytest.approx(0.1, rel=0.05)


def test_it_forgets_what_has_been_mended() -> None:
    stream = check([0] * 20, received=None)
    for stamp in range(START, START + 11 * SECOND, SECOND // 10):
        stream.add(Header("points", stamp, "lidar"))
    assert stream.findings() == []


@pytest.mark.parametrize("apart", [0.0, 0.004, -0.012])
def test_left_and_right(apart: float) -> None:
    left = np.array(EVEN)
    median, most = offsets(left, left[3:] + round(apart * 1e9))
    assert median == pytest.approx(apart, abs=1e-6)
    assert most == pytest.approx(abs(apart), abs=1e-6)
    assert np.isnan(offsets(left, left[:0])).all()
