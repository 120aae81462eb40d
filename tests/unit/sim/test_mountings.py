"""Lidars mounted in many ways on one simulated street."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import Config, override
from ssl_perception.flow.online.mounting import estimate_mounting
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception_sim.experiments.mountings import MOUNTINGS
from ssl_perception_sim.sensors import lidar as lidars
from ssl_perception_sim.sensors.lidar import ROSETTE_VIEW, Lidar, Sweep
from ssl_perception_sim.world import street as streets
from ssl_perception_sim.world.motion import Motion
from ssl_perception_sim.world.scene import Scene

SEED = 3
Street = tuple[Scene, Motion]


@pytest.fixture(scope="module")
def street() -> Street:
    place = streets.build(SEED, 1.0)
    return Scene(place.static, place.actors), place.ego


def look(street: Street, lidar: Lidar, k: int = 0) -> Sweep:
    scene, ego = street
    return lidars.sweep(lidar, scene, ego, lidar.period * k, SEED, k)


@pytest.mark.parametrize("name", list(MOUNTINGS))
def test_height_and_tilt_are_found(street: Street, name: str) -> None:
    lidar = MOUNTINGS[name]
    seen = look(street, lidar)
    found = estimate_mounting(seen.cloud.points)
    assert found.confidence > 0.5
    assert found.height == pytest.approx(lidar.mount[2], abs=0.12)
    up = lidar.vehicle_from_lidar[2, :3]  # against the car, which follows the road's slope
    assert np.degrees(np.arccos(np.clip(found.up @ up, -1.0, 1.0))) < 1.5
    assert found.upside_down == name.startswith("upside down")


@pytest.mark.parametrize("name", ["0.3 m", "2.5 m", "pitch 20", "upside down", "rosette"])
def test_ground_is_found_whatever_the_mounting(street: Street, name: str) -> None:
    online = OnlineFlow(override(Config(), ["ground.sensor_height=0"]))
    for k in range(2):
        seen = look(street, MOUNTINGS[name], k)
        result = online.process(seen.cloud)
    near = np.linalg.norm(seen.cloud.points, axis=1) < 15.0
    near &= np.linalg.norm(seen.cloud.points, axis=1) > 1.6
    assert result.ground[near & seen.ground].mean() > 0.85
    others = near & ~seen.ground  # a lidar that looks ahead alone may see nothing else so near
    assert (result.ground & others).sum() <= 0.15 * others.sum()


def test_a_tilted_lidar_measures_the_same_world(street: Street) -> None:
    tilted = Lidar(tilt=(0.3, -0.2, 0.5), columns=256)
    seen = look(street, tilted)
    pose = seen.world_from_sensor
    start = street[1].pose(np.zeros(1))
    np.testing.assert_allclose(
        pose[:3, :3], start[0][0] @ tilted.vehicle_from_lidar[:3, :3], atol=1e-9
    )
    first = np.flatnonzero(seen.cloud.time == 0.0)
    expected = seen.cloud.points[first] @ pose[:3, :3].T + pose[:3, 3]
    np.testing.assert_allclose(seen.world[first], expected, atol=1e-3)


def test_a_rosette_looks_ahead_and_does_not_repeat(street: Street) -> None:
    lidar = MOUNTINGS["rosette"]
    one, other = (look(street, lidar, k).cloud.points for k in (0, 1))
    angle = np.arccos(one[:, 0] / np.linalg.norm(one, axis=1))
    assert angle.max() < ROSETTE_VIEW / 2 + 1e-3
    assert angle.max() > 0.9 * ROSETTE_VIEW / 2
    count = min(len(one), len(other))
    assert np.abs(one[:count, 1] / one[:count, 0] - other[:count, 1] / other[:count, 0]).max() > 0.1
