"""The robot's own points, by a box about the lidar."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import Config, override
from ssl_perception.errors import InputError
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.obstacles.collision import time_to_collision
from ssl_perception.obstacles.lidar_scan import lidar_scan
from ssl_perception.types import PointCloud
from tests.unit.flow.online.test_online import BOX, drive

BODY = ("front=2.6", "rear=0.5", "left=0.6", "right=0.6", "below=1.2", "above=0.4")
SET = tuple(f"online.vehicle.{side}" for side in BODY)
FOOTPRINT = ("front=2", "rear=2", "width=1.5", "below=1.2", "above=1")
RNG = np.random.default_rng(5)
MAST = RNG.uniform((2.2, -0.3, -0.9), (2.5, 0.3, 0.2), (400, 3)).astype(np.float32)


def with_mast(cloud: PointCloud, sway: float) -> PointCloud:
    """The sweep, and in its first rows something that rides along ahead of the lidar and sways."""
    points = np.concatenate([MAST + np.array([0.0, sway, 0.0], np.float32), cloud.points])
    assert cloud.time is not None
    time = np.concatenate([np.zeros(len(MAST), np.float32), cloud.time])
    return PointCloud(points, time, cloud.stamp, cloud.frame)


SWEEPS = drive(6, 5.0, box_speed=9.0)


def run(*settings: str) -> list[SweepFlow]:
    online = OnlineFlow(override(Config(), list(settings)))
    return [online.process(with_mast(c, 0.05 * (k % 2))) for k, c in enumerate(SWEEPS)]


def test_own_points_are_unknown_and_all_else_is_as_without_them() -> None:
    online = OnlineFlow()
    for result, cloud in zip(run(*SET), SWEEPS, strict=True):
        alone = online.process(cloud)
        own = result.own
        assert own is not None and own[: len(MAST)].all() and not own[len(MAST) :].any()
        assert np.isnan(result.flow.velocity[own]).all() and not result.flow.moving[own].any()
        assert not result.ground[own].any()
        rest = ~own
        np.testing.assert_array_equal(result.flow.flow[rest], alone.flow.flow)
        np.testing.assert_array_equal(result.flow.confidence[rest], alone.flow.confidence)
        np.testing.assert_array_equal(result.ground[rest], alone.ground)
        if result.deskewed is not None:
            assert alone.deskewed is not None
            np.testing.assert_array_equal(result.deskewed[rest], alone.deskewed)
            np.testing.assert_array_equal(result.deskewed[own], result.cloud.points[own])
        for seen, expected in zip(result.objects, alone.objects, strict=True):
            np.testing.assert_array_equal(seen.points, expected.points + len(MAST))
    assert result.flow.moving[-len(BOX) :].any(), "the other car is seen to move"


def test_own_points_are_no_obstacles() -> None:
    """The mast sways 2 m ahead, in the way of a box that reaches as far as it."""
    masked, seen = run(*SET)[-1], run()[-1]
    config = override(Config(), [f"collision.{side}" for side in FOOTPRINT])
    assert time_to_collision(masked, config.collision) > 1.0
    ahead = config.scan.sectors // 2
    assert not lidar_scan(masked, config).ranges[ahead] < 4.0
    assert lidar_scan(seen, config).ranges[ahead] < 3.0


def test_a_box_without_volume_is_refused() -> None:
    with pytest.raises(InputError, match="no volume"):
        override(Config(), ["online.vehicle.front=2"])


def test_a_sweep_of_the_robot_alone_is_refused() -> None:
    online = OnlineFlow(override(Config(), list(SET)))
    with pytest.raises(InputError, match=r"outside online\.vehicle"):
        online.process(PointCloud(MAST))
