"""How the lidar is mounted, found from what it sees of the ground."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception.config import Config, LidarMountConfig, override
from ssl_perception.flow.online.mounting import (
    SETTLED,
    MountingEstimate,
    estimate_mounting,
)
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.types import BoolArray, FloatArray, PointCloud

SPEED = 6.0  # m/s of the box along x
PERIOD = 0.1


def street(height: float, stamp: float = 0.0) -> tuple[FloatArray, BoolArray]:
    """Road, two walls, poles, a moving box: (N, 3) seen from the sensor, level; (N,) the box."""
    rng = np.random.default_rng(7)
    reach = rng.uniform(0.5, 30.0, 9000)
    angle = rng.uniform(-np.pi, np.pi, 9000)
    road = np.column_stack([reach * np.cos(angle), reach * np.sin(angle), np.zeros(9000)])
    walls = rng.uniform((-30, -0.05, 0), (30, 0.05, 5), (9000, 3))
    walls[:, 1] += np.where(np.arange(9000) % 2, 11.0, -9.0)
    poles = rng.uniform((-0.1, -0.1, 0), (0.1, 0.1, 4), (3000, 3))
    poles[:, 0] += rng.choice(np.arange(-28, 30, 7.0), 3000)
    poles[:, 1] += rng.choice([6.0, -6.0], 3000)
    box = rng.uniform((-2.0, -0.9, 0.2), (2.0, 0.9, 1.5), (900, 3))
    box[:, :2] += 8.0 + SPEED * stamp, 2.5
    points = np.concatenate([road, walls, poles, box])
    noise = np.random.default_rng(round(1e3 * stamp)).normal(0, 0.01, points.shape)
    moves = np.zeros(len(points), np.bool_)
    moves[-900:] = True
    return (points + noise - (0, 0, height)).astype(np.float32), moves


def tilted(points: FloatArray, roll: float, pitch: float) -> FloatArray:
    """The level points as a sensor sees them that is mounted with these angles, degrees."""
    level_from_sensor = Rotation.from_euler("YX", (pitch, roll), degrees=True)
    return level_from_sensor.inv().apply(points).astype(np.float32)


def drive(height: float, roll: float, pitch: float, sweeps: int = 8) -> list[PointCloud]:
    return [
        PointCloud(tilted(street(height, PERIOD * k)[0], roll, pitch), stamp=10.0 + PERIOD * k)
        for k in range(sweeps)
    ]


def run(clouds: list[PointCloud], *settings: str) -> list[SweepFlow]:
    online = OnlineFlow(override(Config(), list(settings)))
    return [online.process(cloud) for cloud in clouds]


@pytest.mark.parametrize("height", [0.3, 0.6, 1.2, 2.5])
@pytest.mark.parametrize(
    ("roll", "pitch"), [(0, 0), (20, 0), (0, -20), (12, 15), (180, 0), (180, 15), (-165, 0)]
)
def test_height_and_tilt_are_found_in_one_sweep(height: float, roll: float, pitch: float) -> None:
    found = estimate_mounting(tilted(street(height)[0], roll, pitch))
    assert found.confidence > 0.9
    assert found.height == pytest.approx(height, abs=0.03)
    off = np.array(found.angles) - np.deg2rad((roll, pitch))
    assert np.abs((off + np.pi) % (2 * np.pi) - np.pi).max() < np.deg2rad(0.5)
    assert found.upside_down == (abs(roll) > 90)


def test_without_ground_nothing_is_found() -> None:
    rng = np.random.default_rng(0)
    wall = rng.uniform((9.9, -10, 0.2), (10, 10, 4), (3000, 3)).astype(np.float32)
    cloud = rng.uniform(-15, 15, (3000, 3)).astype(np.float32)
    for points in (wall, cloud, wall[:10], np.empty((0, 3), np.float32)):
        assert estimate_mounting(points).confidence < 0.5


def test_a_ceiling_is_not_the_ground() -> None:
    """A room: the floor 0.5 m below the sensor, the ceiling 2 m above it, both as full."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(-4, 4, (4000, 2)), rng.normal(-0.5, 0.01, 4000)])
    ceiling = np.column_stack([rng.uniform(-4, 4, (4000, 2)), rng.normal(2.0, 0.01, 4000)])
    found = estimate_mounting(np.concatenate([floor, ceiling]).astype(np.float32))
    assert not found.upside_down
    assert found.height == pytest.approx(0.5, abs=0.02)


def test_a_level_sensor_is_left_as_it_is() -> None:
    estimate = MountingEstimate(1.73)
    for _ in range(SETTLED):
        estimate.add(tilted(street(1.73)[0], 1.0, -1.0))
    assert estimate.level is None
    assert estimate.doubt == ""
    assert estimate.height == 1.73, "as set"


def test_a_wrong_height_is_said_in_a_line_that_stays() -> None:
    estimate = MountingEstimate(1.73)
    said = []
    for k in range(3 * SETTLED):
        estimate.add(street(0.62, 0.01 * k)[0])
        said.append(estimate.doubt)
    assert said[SETTLED - 2] == "", "one sweep may be wrong"
    assert set(said[SETTLED - 1 :]) == {
        "ground seems to be 0.62 m below the lidar, not 1.73 m: set ground.sensor_height"
    }
    assert estimate.height == 1.73, "what is set counts"


def test_a_tilt_that_is_not_set_is_said_and_one_that_is_set_is_not() -> None:
    points = tilted(street(1.2)[0], 180.0, 12.0)
    silent = MountingEstimate(0.0)
    stated = MountingEstimate(0.0, LidarMountConfig(roll=3.1416, pitch=0.2094))
    for _ in range(SETTLED):
        silent.add(points)
        stated.add(points)
    assert "pitch 0.21 rad (upside down): set lidar_mount" in silent.doubt
    assert stated.doubt == ""
    for estimate in (silent, stated):
        assert estimate.level is not None
        up = estimate.level @ points[:9000].T.astype(np.float64)
        assert np.abs(up[2] + 1.2).max() < 0.35, "the road is level"
        assert np.linalg.det(estimate.level) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("roll", "pitch"), [(0.0, 20.0), (-20.0, 0.0), (180.0, 0.0), (180.0, -10.0)]
)
def test_a_tilted_sensor_sees_what_a_level_one_sees(roll: float, pitch: float) -> None:
    """The mover, and nothing else, with its velocity in the sensor's own axes."""
    results = run(drive(1.2, roll, pitch), "ground.sensor_height=0")
    expected = tilted(np.array([[SPEED, 0.0, 0.0]], np.float32), roll, pitch)[0]
    for k, result in enumerate(results[4:], 4):
        _, moves = street(1.2, PERIOD * k)
        assert result.flow.moving[moves].mean() > 0.6, f"sweep {k}"
        assert not result.flow.moving[~moves].any(), f"sweep {k}"
        velocity = np.median(result.flow.velocity[result.flow.moving], axis=0)
        np.testing.assert_allclose(velocity, expected, atol=0.5)
        (seen,) = result.objects
        np.testing.assert_allclose(seen.velocity, expected, atol=0.6)
        middle = result.cloud.points[seen.points].mean(axis=0)
        np.testing.assert_allclose(seen.centre, middle, atol=0.3)
        motion = result.current_from_previous
        assert motion is not None
        np.testing.assert_allclose(motion, np.eye(4), atol=0.02)
        assert result.ground[:9000].mean() > 0.9
