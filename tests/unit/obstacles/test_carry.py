"""A lidar's scan at the stamp of an image: from where the robot is then, and nothing freed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_perception.config import LidarMountConfig, LidarScanConfig, ScanConfig, TrustConfig
from ssl_perception.depth.trust.fusion import CueFusion, absent
from ssl_perception.flow.online.pose_buffer import PoseBuffer
from ssl_perception.obstacles.carry import PlanarMotion, carried, motion_of
from ssl_perception.types import CameraModel, Cue, ObstacleScan, Odometry

NAN, INF = np.nan, np.inf
SECTORS = 72
WIDTH = 2 * np.pi / SECTORS
AHEAD, LEFT = 36, 54  # the first sector to the left of x, of y
RAYS = 50  # true directions in a sector


def scan(ranges: np.ndarray, stamp: float = 0.0, speeds: np.ndarray | None = None,
         velocity: tuple[float, float, float] | None = None) -> ObstacleScan:  # fmt: skip
    return ObstacleScan(
        ranges, -np.pi + WIDTH / 2, WIDTH, 0.2, 40.0, stamp, "lidar", Cue.LIDAR, speeds, velocity
    )


def clear(**obstacles: float) -> ObstacleScan:
    ranges = np.full(SECTORS, INF)
    for name, distance in obstacles.items():
        ranges[int(name[1:])] = distance
    return scan(ranges)


def room(x: float, y: float, yaw: float) -> np.ndarray:
    """(72,) the nearest wall per sector in a room of 16 by 10 m, seen from a place in it."""
    angle = yaw - np.pi + (np.arange(SECTORS * RAYS) + 0.5) * WIDTH / RAYS
    c, s = np.cos(angle), np.sin(angle)
    with np.errstate(divide="ignore"):
        along = np.where(c > 0, (8.0 - x) / c, (-8.0 - x) / c)
        across = np.where(s > 0, (5.0 - y) / s, (-5.0 - y) / s)
    return np.minimum(along, across).reshape(SECTORS, RAYS).min(axis=1)


def pillars(places: np.ndarray, x: float, y: float, yaw: float) -> np.ndarray:
    """(72,) the nearest of some points, +Inf where there is none."""
    c, s = np.cos(yaw), np.sin(yaw)
    u, v = (places - (x, y)) @ np.array([[c, -s], [s, c]])[:, 0], (places - (x, y)) @ (-s, c)
    sector = ((np.arctan2(v, u) + np.pi) / WIDTH).astype(int) % SECTORS
    ranges = np.full(SECTORS, INF)
    np.minimum.at(ranges, sector, np.hypot(u, v))
    return ranges


def test_a_robot_that_stands_changes_nothing() -> None:
    here = clear(_36=5.0)
    np.testing.assert_array_equal(carried(here, PlanarMotion(0, 0, 0), 0.1).ranges, here.ranges)


@pytest.mark.parametrize(
    "motion",
    [(0.1, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, -0.3, 0.0), (0.1, 0.0, 0.08), (0.4, 0.1, -0.2)],
)
def test_walls_are_where_they_are_from_the_new_place(motion: tuple[float, float, float]) -> None:
    before, after = room(0, 0, 0), room(*motion)
    found = carried(scan(before), PlanarMotion(*motion), 0.1).ranges
    assert np.isfinite(found).all()
    error, old = np.abs(found - after), np.abs(before - after)
    assert np.median(error) < 0.02 < old.mean()
    assert np.mean(found - after > 0.05) < 0.1  # too far


def test_what_stands_ahead_is_nearer_by_the_way_driven() -> None:
    found = carried(clear(_36=5.0), PlanarMotion(0.1, 0.0, 0.0), 0.1)
    assert found.ranges[AHEAD] == pytest.approx(4.9, abs=1e-3) and found.stamp == 0.1


def test_an_obstacle_moves_on_by_its_own_speed() -> None:
    speeds = np.full(SECTORS, NAN)
    speeds[AHEAD] = 1.0 - 3.0  # it drives away at 3 m/s, the robot follows at 1
    here = scan(clear(_36=5.0).ranges, speeds=speeds)
    found = carried(here, PlanarMotion(0.1, 0.0, 0.0), 0.1)
    assert found.ranges[AHEAD] == pytest.approx(5.2, abs=1e-2)
    assert found.closing_speed is not None and found.closing_speed[AHEAD] == -2.0


def test_a_turn_brings_an_obstacle_into_both_sectors_that_it_may_be_in() -> None:
    found = carried(clear(_36=5.0), PlanarMotion(0.0, 0.0, 0.5 * WIDTH), 0.1).ranges
    assert np.flatnonzero(np.isfinite(found)).tolist() == [AHEAD - 1, AHEAD]
    found = carried(clear(_36=5.0), PlanarMotion(0.0, 0.0, -3 * WIDTH), 0.1).ranges
    assert found[AHEAD + 3] == pytest.approx(5.0)
    assert np.isposinf(np.delete(found, [AHEAD + 2, AHEAD + 3, AHEAD + 4])).all()


def test_too_near_stays_too_near() -> None:
    found = carried(clear(_36=-INF), PlanarMotion(-0.1, 0.0, 0.0), 0.1)
    assert np.isneginf(found.ranges[AHEAD])


def test_clear_ahead_is_what_was_proven_farther_and_only_forwards_in_time() -> None:
    here = clear()
    assert np.isposinf(carried(here, PlanarMotion(1.0, 0.0, 0.0), 0.1).ranges).all()
    back = carried(here, PlanarMotion(-1.0, 0.0, 0.0), -0.1).ranges
    assert np.isposinf(back[AHEAD]) and np.isnan(back[0])  # farther behind than was looked
    fast = carried(here, PlanarMotion(3.0, 0.0, 0.0), 0.1).ranges
    assert np.isnan(fast[AHEAD]) and np.isposinf(fast[0])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_unknown_never_becomes_free_and_no_obstacle_is_in_a_free_sector(
    data: st.DataObject,
) -> None:
    coordinate = st.floats(-12.0, 12.0)
    places = np.array(data.draw(st.lists(st.tuples(coordinate, coordinate), max_size=12)))
    places = places.reshape(-1, 2)
    places = places[np.hypot(*places.T) > 3.5]
    ranges = pillars(places, 0, 0, 0)
    unknown = data.draw(st.lists(st.integers(0, SECTORS - 1), max_size=40))
    ranges[unknown] = NAN
    motion = data.draw(st.tuples(st.floats(-0.5, 2.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)))
    found = carried(scan(ranges), PlanarMotion(*motion), 0.1, blind=3.0).ranges
    truth = pillars(places, *motion)
    assert not (np.isposinf(found) & np.isfinite(truth)).any()
    # a place in a sector that reads free lay in one that did, 3 m away or more
    sector = np.flatnonzero(np.isposinf(found))
    for away in (3.0, 7.0, 20.0):
        for part in (0.01, 0.5, 0.99):
            angle = motion[2] - np.pi + (sector + part) * WIDTH
            x, y = motion[0] + away * np.cos(angle), motion[1] + away * np.sin(angle)
            old = ((np.arctan2(y, x) + np.pi) / WIDTH).astype(int) % SECTORS
            assert np.isposinf(ranges[old]).all()


def body(stamp: float, x: float, y: float, yaw: float) -> Odometry:
    pose = np.eye(4)
    c, s = np.cos(yaw), np.sin(yaw)
    pose[:2, :2], pose[:2, 3] = [[c, -s], [s, c]], (x, y)
    return Odometry(pose, stamp)


def test_the_motion_is_odometrys_else_the_lidars_else_unknown() -> None:
    mount, options = LidarMountConfig(x=1.0), LidarScanConfig(camera_x=0.5, camera_yaw=np.pi / 2)
    bodies = PoseBuffer(LidarMountConfig())
    here = scan(np.full(SECTORS, INF))
    assert motion_of(here, 0.1, bodies, mount, options) is None
    driving = scan(np.full(SECTORS, INF), velocity=(2.0, 0.0, 0.5))
    x, y, turn = motion_of(driving, 0.1, bodies, mount, options) or (0, 0, 0)
    assert (x, y, turn) == pytest.approx((0.2, 0.005, 0.05), abs=1e-4)
    for stamp in (-0.1, 0.0, 0.1):
        bodies.add(body(stamp, 3.0, 4.0, 0.3 + stamp))  # turns on the spot at 1 rad/s
    x, y, turn = motion_of(driving, 0.1, bodies, mount, options) or (0, 0, 0)
    # the scan's place, 1.5 m ahead, moves to the left, which is ahead in axes turned by 90 degrees
    assert (x, y, turn) == pytest.approx((0.15, 0.0075, 0.1), abs=1e-3)


@pytest.mark.parametrize("odometry", [False, True])
def test_the_fused_scan_is_as_old_as_the_image(odometry: bool) -> None:
    fusion = CueFusion(ScanConfig(), TrustConfig())
    ranges = np.full(SECTORS, NAN)
    ranges[AHEAD] = 5.0
    velocity = None if odometry else (1.0, 0.0, 0.0)
    if odometry:
        for stamp in (9.8, 9.9, 10.0, 10.1):
            fusion.travel(body(stamp, stamp, 0.0, 0.0))
    nothing = absent(Cue.STEREO, CameraModel(4, 4, 4.0, 4.0, 2.0, 2.0, "camera"), 10.1, "dark")
    fused = fusion.update(nothing, None, None, scan(ranges, 10.0, velocity=velocity)).scan
    assert fused.ranges[AHEAD] == pytest.approx(4.9, abs=1e-2) and fused.stamp == 10.1


@pytest.mark.parametrize("sectors", [72, 360])
@pytest.mark.parametrize("near", [0.5, 3.0])
def test_no_sector_on_the_way_is_skipped(sectors: int, near: float) -> None:
    """Beside a robot that drives sideways a ray crosses many sectors within a short distance."""
    width = 2 * np.pi / sectors
    across = ((np.arange(15) + 0.5) / 15 - 0.5) * width
    away = near + (40.0 - near) * np.linspace(0.0, 1.0, 400) ** 3
    rng = np.random.default_rng(3)
    kept = 0
    for motion in (PlanarMotion(0.1, 0.8, 0.0), PlanarMotion(1.2, -3.6, 0.05)):
        ranges = np.full(sectors, INF)
        unknown = int(rng.integers(sectors))
        ranges[unknown] = NAN
        here = ObstacleScan(ranges, -np.pi + width / 2, width, 0.2, 40.0, 0.0, "lidar")
        there = carried(here, motion, 0.3, blind=near)
        for sector in np.flatnonzero(np.isposinf(there.ranges)):
            angle = here.angle_min + sector * width + across[:, None] + motion.turn
            x, y = away * np.cos(angle) + motion.x, away * np.sin(angle) + motion.y
            crossed = np.floor((np.arctan2(y, x) + np.pi) / width).astype(int) % sectors
            assert unknown not in crossed
            kept += 1
    assert kept > sectors // 4, "and most of what was clear still is"
