"""Would this message stop the robot? Each consumer's own rule, rebuilt from its source.

Where each rule is stated: docs/ros.md, "Who reads the scan".
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_perception.config import ScanConfig, TrustConfig
from ssl_perception.depth.trust.fusion import CueFusion
from ssl_perception.depth.trust.state import ActiveCue, Observation, Trust
from ssl_perception.depth.trust.update import update
from ssl_perception.errors import InputError
from ssl_perception.io.scan_encoding import (
    CONSUMERS,
    REP117,
    ConsumerName,
    Encoding,
    check_sectors,
    encoded_range,
    encoded_scan,
)
from ssl_perception.obstacles.scan import nearest_ahead
from ssl_perception.types import CameraModel, Cue, DepthMap, ObstacleScan

RANGE_MIN, RANGE_MAX = 0.2, 40.0
STEP = 2 * np.pi / 72
AHEAD = 0.35  # rad, of obstacle_range
STOP = 1.0  # m about the sensor: Nav2's stop polygon, PX4's CP_DIST
UNKNOWN = 65535  # UINT16_MAX, MAVLink's OBSTACLE_DISTANCE
INF, NAN = math.inf, math.nan
STATES = {  # of the sectors ahead: m, and whether the robot must not go there
    "clear": (INF, False),
    "far": (5.0, False),
    "near": (0.6, True),
    "at range_min": (0.2, True),
    "nearer than range_min": (0.1, True),
    "too close": (-INF, True),
    "unknown": (NAN, True),
}


def scan_of(ahead: float, elsewhere: float = INF) -> ObstacleScan:
    """72 sectors; those within 30 degrees of straight ahead have one state, all others another."""
    angles = -np.pi + STEP * (np.arange(72) + 0.5)
    ranges = np.where(np.abs(angles) < np.radians(30), ahead, elsewhere).astype(np.float32)
    return ObstacleScan(ranges, float(angles[0]), STEP, RANGE_MIN, RANGE_MAX, frame="body")


def range_of(scan: ObstacleScan, encoding: Encoding) -> float | None:
    """What ``obstacle_range`` says of it."""
    nearest = nearest_ahead(scan, AHEAD / 2, encoding.certain_up_to)
    return encoded_range(nearest, RANGE_MIN, RANGE_MAX, encoding)


def nav2_stops_for_scan(scan: ObstacleScan) -> bool:
    """Nav2 collision monitor, ``scan.cpp``: what is within the limits is a point, all else is left
    out, and the scan is valid in any case. ``min_points`` is 1."""
    low, high = np.float32(scan.range_min), np.float32(scan.range_max)
    points = (scan.ranges >= low) & (scan.ranges <= high)
    return bool((points & (scan.ranges <= STOP)).any())


def nav2_stops_for_range(metres: float) -> bool:
    """Nav2 collision monitor, ``range.cpp``: out of the limits is an invalid source, which stops
    the robot; NaN passes both comparisons, and no polygon holds it."""
    read = np.float32(metres)
    if read < np.float32(RANGE_MIN) or read > np.float32(RANGE_MAX):
        return True
    return bool(read <= STOP)


def costmap_points(scan: ObstacleScan, inf_is_valid: bool = True) -> NDArray[np.float32]:
    """Nav2's obstacle layer and laser_geometry: the ranges that become points."""
    ranges = scan.ranges
    if inf_is_valid:
        ranges = np.where(np.isposinf(ranges), np.float32(scan.range_max - 1e-4), ranges)
    low, high = np.float32(scan.range_min), np.float32(scan.range_max)
    return ranges[(ranges >= low) & (ranges < high)]


def mavros_distances(scan: ObstacleScan) -> NDArray[np.uint16]:
    """MAVROS, ``obstacle_distance.cpp``: centimetres, cut off; 65535 for what it can't express."""
    centimetres = (scan.ranges.astype(np.float64) * 1e2).astype(np.float32)
    with np.errstate(invalid="ignore"):
        lost = np.isnan(centimetres) | (centimetres >= UNKNOWN) | (centimetres < 0)
        return np.where(lost, UNKNOWN, centimetres).astype(np.uint16)


def px4_refuses(distances: NDArray[np.uint16], sector: int) -> bool:
    """PX4 CollisionPrevention: no motion without any data, nor where there is none (CP_GO_NO_DATA
    0), nor nearer than CP_DIST."""
    distance = distances[sector]
    return bool(distance == UNKNOWN or distance / 100 <= STOP)


def px4_refuses_range(metres: float) -> bool:
    """PX4 CollisionPrevention, DISTANCE_SENSOR: what isn't above min_distance is no data, what is
    above max_distance is clear, and so is NaN."""
    reading = metres if metres < RANGE_MAX else RANGE_MAX
    return not reading > np.float32(RANGE_MIN) or reading <= STOP


@pytest.mark.parametrize("state", STATES)
def test_nav2_stops_for_what_is_near_or_unknown_and_for_nothing_else(state: str) -> None:
    metres, must_stop = STATES[state]
    for elsewhere in (INF, NAN):
        scan = scan_of(metres, elsewhere)
        sent = encoded_scan(scan, CONSUMERS["nav2"].scan, view=1.0)
        assert sent is not None and nav2_stops_for_scan(sent) is must_stop
        said = range_of(scan, CONSUMERS["nav2"].range)
        assert said is not None and math.isfinite(said), "1.5 refuses messages with NaN or Inf"
        assert nav2_stops_for_range(said) is must_stop


def test_rep117_misleads_nav2_which_is_why_it_has_a_preset() -> None:
    misled = {
        (kind, state)
        for state, (metres, must_stop) in STATES.items()
        for kind, stops in (
            ("scan", nav2_stops_for_scan(scan_of(metres))),
            ("range", nav2_stops_for_range(range_of(scan_of(metres), REP117) or 0.0)),
        )
        if stops is not must_stop
    }
    assert misled == {
        ("scan", "nearer than range_min"),
        ("scan", "too close"),
        ("scan", "unknown"),
        ("range", "clear"),
        ("range", "unknown"),
    }


def test_a_costmap_is_cleared_where_it_is_clear_and_marked_where_nothing_is_known() -> None:
    nav2 = CONSUMERS["nav2"].scan
    clear, unknown = (encoded_scan(scan_of(m, m), nav2) for m in (INF, NAN))
    assert clear is not None and unknown is not None
    assert len(costmap_points(clear)) == 72 and not (costmap_points(clear) < 39.9).any()
    assert len(costmap_points(clear, inf_is_valid=False)) == 0, "then nothing is ever cleared"
    assert (costmap_points(unknown) == np.float32(RANGE_MIN)).all()
    assert len(costmap_points(unknown)) == 72
    assert len(costmap_points(scan_of(NAN, NAN))) == 0, "REP 117: the costmap stays as it was"


@pytest.mark.parametrize("consumer", ["mavros", "px4"])
@pytest.mark.parametrize("state", STATES)
def test_px4_refuses_to_go_where_it_is_near_or_unknown(state: str, consumer: ConsumerName) -> None:
    metres, must_stop = STATES[state]
    sent = encoded_scan(scan_of(metres), CONSUMERS[consumer].scan)
    assert sent is not None
    distances = mavros_distances(sent)
    assert px4_refuses(distances, 36) is must_stop
    assert px4_refuses(distances, 0) is False, "behind it is clear"
    said = range_of(scan_of(metres), CONSUMERS[consumer].range)
    assert said is not None and px4_refuses_range(said) is must_stop


def test_rep117_misleads_mavros() -> None:
    """MAVROS takes +Inf for unknown: the drone goes nowhere; and PX4 a Range of NaN for clear."""
    clear = mavros_distances(scan_of(INF))
    assert (clear == UNKNOWN).all()
    assert not px4_refuses_range(range_of(scan_of(NAN), REP117) or 0.0)


@pytest.mark.parametrize("range_max", [0.5, 8.0, 8.2, 12.3, 40.0, 99.99, 500.0])
def test_clear_is_more_than_max_distance_in_whole_centimetres(range_max: float) -> None:
    scan = replace(scan_of(INF), range_max=range_max)
    sent = encoded_scan(scan, CONSUMERS["mavros"].scan)
    assert sent is not None
    furthest = int(float(np.float32(range_max)) * 1e2)
    assert (mavros_distances(sent) > furthest).all()
    assert sent.ranges.max() == pytest.approx(range_max + 0.01, abs=1e-4)


def test_a_mavros_scan_is_clockwise() -> None:
    scan = scan_of(5.0)
    scan = replace(scan, closing_speed=np.arange(72, dtype=np.float32))
    scan.ranges[40] = 3.0  # to the left
    sent = encoded_scan(scan, CONSUMERS["mavros"].scan)
    assert sent is not None and sent.closing_speed is not None
    index = int(np.argmin(sent.ranges))
    assert sent.angles[index] == pytest.approx(-scan.angles[40], abs=1e-6)
    assert sent.closing_speed[index] == 40


def test_more_sectors_than_mavlink_has_are_refused() -> None:
    """MAVROS would take the least of each two without NaN: unknown would be clear."""
    check_sectors("mavros", 72)
    check_sectors("nav2", 144)
    with pytest.raises(InputError, match=r"^scan.sectors 73: at most 72 for px4"):
        check_sectors("px4", 73)


def test_rep117_is_the_scan_as_it_is() -> None:
    for metres, _ in STATES.values():
        scan = scan_of(metres)
        assert encoded_scan(scan, REP117, view=1.0) is scan
        assert encoded_range(metres, RANGE_MIN, RANGE_MAX, REP117) is metres


def test_silence_is_for_when_nothing_is_known() -> None:
    silent = Encoding(unknown="silent")
    assert encoded_scan(scan_of(NAN, NAN), silent) is None
    assert encoded_scan(scan_of(NAN, 5.0), silent) is not None
    assert encoded_scan(scan_of(NAN, 5.0), replace(silent, too_close="range_min")) is not None
    assert encoded_range(NAN, RANGE_MIN, RANGE_MAX, silent) is None
    assert encoded_range(5.0, RANGE_MIN, RANGE_MAX, silent) == 5.0
    half = scan_of(5.0)
    half.ranges[36] = NAN
    assert range_of(half, silent) is None, "an unknown sector ahead"


def test_beyond_the_view_nothing_unknown_becomes_an_obstacle() -> None:
    scan = scan_of(NAN, NAN)
    scan.ranges[0] = 3.0
    sent = encoded_scan(scan, CONSUMERS["nav2"].scan, view=1.0)
    assert sent is not None
    seen = np.abs(scan.angles) <= 0.5
    assert (sent.ranges[seen] == np.float32(RANGE_MIN)).all() and seen.sum() == 12
    assert np.isnan(sent.ranges[~seen][1:]).all() and sent.ranges[0] == 3.0


# The trust states, each through the real fusion of stereo, student and trust.

CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5)
GRID = CameraModel(40, 30, 208.5 / 8, 208.5 / 8, 19.5, 14.5)  # the student's
SCAN = ScanConfig(range_min=RANGE_MIN, range_max=8.0, below=0.35, above=0.3)
OPTIONS = TrustConfig()


def depth(cue: Cue, metres: float, valid: bool = True) -> DepthMap:
    camera = CAMERA if cue is Cue.STEREO else GRID
    values = np.full((camera.height, camera.width), metres, np.float32)
    return DepthMap(values, camera, 0.1, cue, valid, "" if valid else "covered")


def trusted() -> Trust:
    """After 600 tests that the student passed."""
    trust = Trust()
    for k in range(-600, 0):
        metres = 0.7 if k % 4 == 0 else 3.0
        trust = update(trust, Observation(0.3 * k, True, metres, metres, 0.0), OPTIONS)
    return trust


@pytest.fixture(scope="module")
def earned() -> Trust:
    return trusted()


@pytest.mark.parametrize("metres", [0.5, 3.0])
@pytest.mark.parametrize(
    ("cue", "stereo_valid", "student"),
    [
        (ActiveCue.STEREO, True, False),
        (ActiveCue.GUARDED, True, True),
        (ActiveCue.MONO, False, True),
        (ActiveCue.NONE, False, False),
    ],
)
def test_in_every_trust_state_each_consumer_stops_where_it_must(
    earned: Trust, cue: ActiveCue, stereo_valid: bool, student: bool, metres: float
) -> None:
    fusion = CueFusion(SCAN, OPTIONS, earned if student else None)
    mono = depth(Cue.MONO, metres) if student else None
    fused = fusion.update(depth(Cue.STEREO, metres, stereo_valid), mono)
    assert fused.trust.active_cue is cue, fused.trust.reason
    must_stop = metres < STOP or cue is ActiveCue.NONE
    nav2, mavros = CONSUMERS["nav2"], CONSUMERS["mavros"]
    sent = encoded_scan(fused.scan, nav2.scan, view=1.0)
    assert sent is not None and nav2_stops_for_scan(sent) is must_stop
    said = range_of(fused.scan, nav2.range)
    assert said is not None and nav2_stops_for_range(said) is must_stop
    sent = encoded_scan(fused.scan, mavros.scan)
    assert sent is not None and px4_refuses(mavros_distances(sent), 36) is must_stop
