"""What no robot, lidar or clock can do isn't computed with, and it is said why."""

from __future__ import annotations

import math
import re
import time
import tracemalloc

import numpy as np
import pytest

from ssl_perception.config import CollisionConfig, Config, EgoMotionConfig
from ssl_perception.errors import InputError
from ssl_perception.flow.online.ego_motion import EgoMotion
from ssl_perception.flow.online.ground import estimate_sensor_height
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.obstacles.collision import first_contact
from ssl_perception.types import CameraImage, CameraModel, Odometry, PointCloud, StereoPair

RNG = np.random.default_rng(5)
ROOM = np.concatenate(
    [
        np.column_stack([RNG.uniform(-15, 15, (6000, 2)), np.full(6000, -1.7)]),
        np.column_stack(
            [
                RNG.uniform(-15, 15, 3000),
                RNG.choice([-12.0, 12.0], 3000),
                RNG.uniform(-1.7, 2, 3000),
            ]
        ),
        np.column_stack(
            [
                RNG.choice([-14.0, 14.0], 3000),
                RNG.uniform(-12, 12, 3000),
                RNG.uniform(-1.7, 2, 3000),
            ]
        ),
    ]
).astype(np.float32)


def sweep(stamp: float, x: float = 0.0) -> PointCloud:
    return PointCloud(ROOM - np.array([x, 0, 0], np.float32), stamp=stamp, frame="lidar")


def pose(x: float) -> np.ndarray:
    world_from_sensor = np.eye(4)
    world_from_sensor[0, 3] = x
    return world_from_sensor


def test_sweeps_too_near_in_time_are_not_compared() -> None:
    online = OnlineFlow()
    online.process(sweep(10.0))
    result = online.process(sweep(10.005, 0.4))
    assert result.reset == "5 ms since the last sweep (online.min_interval)"
    assert result.twist is None
    assert not result.flow.confidence.any() and not result.objects
    assert online.process(sweep(10.105, 0.5)).reset == ""


@pytest.mark.parametrize(
    ("x", "line"),
    [
        (7.5, r"ego motion of 75 m/s \(ego_motion\.max_speed\)"),
        (2.0, r"ego motion changed by 10\.0 m/s in 0\.1 s \(ego_motion\.max_acceleration\)"),
        (1.3, ""),
    ],
)
def test_odometry_that_jumps(x: float, line: str) -> None:
    online = OnlineFlow()
    for k in range(2):
        online.process(sweep(0.1 * k, k * 1.0), pose(k * 1.0))
    result = online.process(sweep(0.2, 1.0 + x), pose(1.0 + x))
    assert (result.twist is None) == bool(line)
    if line:
        assert re.fullmatch(line, result.reset)
        assert not result.objects and not result.flow.moving.any()


def test_a_log_that_goes_on_elsewhere() -> None:
    """Spliced logs: the stamps go on, the frame is the same, and a motion can be found."""
    online = OnlineFlow()
    for k in range(3):
        assert online.process(sweep(0.1 * k, 0.1 * k)).reset == ("" if k else "first sweep")
    elsewhere = ROOM * np.array([0.5, 0.6, 1.0], np.float32) + np.array([1.5, 1, 0], np.float32)
    result = online.process(PointCloud(elsewhere, stamp=0.3, frame="lidar"))
    assert re.match("ego motion|another place", result.reset)
    assert not result.objects and not result.flow.moving.any()
    later = PointCloud(elsewhere - np.array([0.1, 0, 0], np.float32), stamp=0.4, frame="lidar")
    assert online.process(later).reset == "", "and goes on there"


def moved(x: float) -> np.ndarray:
    """``current_from_previous`` of a sensor that has gone ``x`` m ahead."""
    motion = np.eye(4)
    motion[0, 3] = -x
    return motion


def test_speeds_and_their_changes_are_bounded() -> None:
    motion = EgoMotion(EgoMotionConfig(max_speed=20.0, max_acceleration=10.0))
    assert motion.observe(moved(1.0), 0.1) is not None
    assert motion.observe(moved(1.3), 0.1) is not None, "3 m/s: half of it may be noise"
    assert motion.observe(moved(0.5), 0.1) is None
    assert "max_acceleration" in motion.implausible and motion.twist is None
    assert motion.observe(moved(0.5), 0.1) is not None, "anew"
    assert motion.observe(moved(2.1), 0.1) is None
    assert motion.implausible == "ego motion of 21 m/s (ego_motion.max_speed)"


def test_points_that_no_lidar_returns_are_unknown(capfd: pytest.CaptureFixture[str]) -> None:
    online = OnlineFlow(Config())
    far = RNG.uniform(2e3, 1e6, (500, 3)).astype(np.float32)
    far[0] = (1.0, 1.0, -1e9)
    tracemalloc.start()
    try:
        for k in range(2):
            seen = sweep(0.1 * k, 0.1 * k)
            result = online.process(
                PointCloud(np.concatenate([far, seen.points]), stamp=seen.stamp, frame="lidar")
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500 << 20
    assert result.reset == "" and result.twist is not None
    assert result.twist[0] == pytest.approx(1.0, abs=0.1)
    assert not result.flow.confidence[:500].any() and not result.ground[:500].any()
    assert result.flow.confidence[500:].any() and result.ground[500:].any()
    said = capfd.readouterr()
    assert said.err == "" and said.out == ""


def test_a_sweep_of_nothing_else_is_refused() -> None:
    with pytest.raises(InputError, match=r"within online\.max_coordinate"):
        OnlineFlow().process(PointCloud(np.full((10, 3), 1e5), stamp=1.0))


def test_a_point_far_below_is_no_floor() -> None:
    points = np.concatenate([ROOM, [[0.0, 0.0, -1e9]]]).astype(np.float32)
    assert estimate_sensor_height(points) == pytest.approx(1.7, abs=0.05)


@pytest.mark.parametrize("stamp", [math.nan, math.inf, -math.inf])
def test_stamps_are_numbers(stamp: float) -> None:
    image = np.zeros((6, 8), np.uint8)
    camera = CameraModel(8, 6, 5.0, 5.0, 4.0, 3.0)
    for make in (
        lambda: PointCloud(ROOM, stamp=stamp),
        lambda: StereoPair(image, image, camera, 0.1, stamp),
        lambda: CameraImage(image, camera, stamp=stamp),
        lambda: Odometry(np.eye(4), stamp=stamp),
    ):
        with pytest.raises(InputError, match=r"has the stamp .*; it must be a number of seconds"):
            make()


BOX = CollisionConfig(front=1.0, rear=1.0, width=1.0, below=1.7, above=1.0, horizon=10.0)


@pytest.mark.parametrize(
    ("speed", "yaw_rate"), [(757.0, 0.0), (1e3, 1e3), (1e9, 1e9), (5.0, 1e9), (1e-9, 1e-9)]
)
def test_the_work_of_collision_steps_is_bounded(speed: float, yaw_rate: float) -> None:
    still = np.zeros_like(ROOM)
    first_contact(ROOM[:10], still[:10], np.array([1.0, 0.0, 0.0]), 0.0, BOX)  # compiled now
    many = np.concatenate([ROOM] * 10)
    started = time.process_time()
    found = first_contact(many, np.zeros_like(many), np.array([speed, 0.0, 0.0]), yaw_rate, BOX)
    assert time.process_time() - started < 2.0
    assert math.isnan(found) or found >= 0.0


@pytest.mark.parametrize("motion", [(math.nan, 0.0), (1.0, math.nan), (math.inf, 0.0)])
def test_unknown_motion_is_not_clear(motion: tuple[float, float]) -> None:
    speed, yaw_rate = motion
    robot = np.array([speed, 0.0, 0.0])
    assert math.isnan(first_contact(ROOM, np.zeros_like(ROOM), robot, yaw_rate, BOX))
