"""Odometry against what the sweeps show, and points in another unit: said, never silent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception.config import Config, EgoMotionConfig
from ssl_perception.errors import InputError
from ssl_perception.flow.online.odometry_check import OdometryCheck
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.pipeline import Perception
from ssl_perception.types import Odometry, PointCloud

PERIOD, SPEED, YAW_RATE = 0.1, 5.0, 0.4
RNG = np.random.default_rng(3)


def world() -> np.ndarray:
    """Ground, two walls with buttresses, poles, all around: (N, 3) m."""
    ground = np.column_stack([RNG.uniform(-30, 30, (6000, 2)), np.full(6000, -1.7)])
    walls = RNG.uniform((-30, -0.05, -1.7), (30, 0.05, 3), (8000, 3))
    walls[:, 1] += np.where(np.arange(8000) % 2, 14.0, -11.0)
    walls[np.floor(walls[:, 0] / 3.0) % 2 == 0, 1] *= 0.93
    poles = RNG.uniform((-0.1, -0.1, -1.7), (0.1, 0.1, 3), (3000, 3))
    poles[:, 0] += RNG.choice(np.arange(-28, 30, 7.0), 3000)
    poles[:, 1] += RNG.choice([6.0, -6.0], 3000)
    return np.concatenate([ground, walls, poles])


WORLD = world()


def pose(seconds: float, speed: float = SPEED, rate: float = YAW_RATE) -> np.ndarray:
    """(4, 4) world from robot on an arc."""
    angle = rate * seconds
    there = np.eye(4)
    there[:3, :3] = Rotation.from_euler("Z", angle).as_matrix()
    there[:2, 3] = speed / rate * np.array([np.sin(angle), 1.0 - np.cos(angle)])
    return there


def seen(seconds: float) -> np.ndarray:
    """(N, 3) what the robot's lidar returns there."""
    points = WORLD + np.random.default_rng(round(1e3 * seconds)).normal(0, 0.01, WORLD.shape)
    there = pose(seconds)
    return ((points - there[:3, 3]) @ there[:3, :3]).astype(np.float32)


def turned(degrees: float) -> np.ndarray:
    there = np.eye(4)
    there[:3, :3] = Rotation.from_euler("Z", degrees, degrees=True).as_matrix()
    return there


MIRROR = np.array([1.0, -1.0, 1.0], np.float32)
# what is wrong: factor on the points, odometry at a time, line
FAULTS = {
    "nothing": (1.0, pose, ""),
    "y mirrored": (MIRROR, pose, "it turns the other way: is the lidar's y mirrored"),
    "wheels too small": (1.0, lambda t: pose(t, 0.6 * SPEED), "it says 3.0 m/s where they show"),
    "frozen": (1.0, lambda t: np.eye(4), "it says 0.0 m/s where they show 5.0"),
    "lidar turned": (1.0, lambda t: pose(t) @ turned(25), "25 degrees to the right"),
    "gyro off": (1.0, lambda t: pose(t, rate=0.15), "it turns by 0.15 rad/s where they show 0.40"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_disagrees_is_said_by_name(fault: str) -> None:
    factor, told, line = FAULTS[fault]
    check = OdometryCheck(EgoMotionConfig(threads=1))
    said = []
    for k in range(20):
        before = None if k == 0 else np.linalg.inv(told(PERIOD * k)) @ told(PERIOD * (k - 1))
        check.add(seen(PERIOD * k) * factor, PERIOD, before)
        said.append(check.doubt)
    assert said[8] == "", "a few comparisons aren't enough"
    assert line in said[-1] and bool(said[-1]) == bool(line), said[-1]


def test_it_reaches_the_result_of_the_sweep() -> None:
    perception = Perception(Config(ego_motion={"threads": 1}))
    for k in range(20):
        t = PERIOD * k
        perception.odometry(Odometry(pose(t, 0.6 * SPEED), 10.0 + t))
        perception.odometry(Odometry(pose(t + 0.01, 0.6 * SPEED), 10.01 + t))
        result = perception.sweep(PointCloud(seen(t), stamp=10.0 + t, frame="lidar"))
    assert result.doubt.startswith("odometry and sweeps disagree: it says 3.0 m/s")


def test_millimetres_are_said() -> None:
    with pytest.raises(InputError, match="are they in millimetres"):
        OnlineFlow().process(PointCloud(seen(0.0) * 1000, stamp=1.0))
    near = RNG.uniform(-900, 900, (2000, 3)).astype(np.float32)  # 0.9 m
    result = OnlineFlow().process(PointCloud(np.concatenate([seen(0.0) * 1000, near]), stamp=1.0))
    assert "are they in millimetres?" in result.doubt
    assert not result.flow.confidence[np.abs(result.cloud.points).max(axis=1) > 1000].any()
    assert OnlineFlow().process(PointCloud(seen(0.0), stamp=1.0)).doubt == ""
