"""The lidar's obstacle scan in simulated streets against true distances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_perception.config import Config, preset
from ssl_perception.pipeline import Perception
from ssl_perception_sim.sensors.lidar import Lidar, Sweep
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.categories import Category
from ssl_perception_sim.world.scene import Rays
from ssl_perception_sim.world.world import World

SECONDS = 0.4
RAYS = 50  # a sector, 0.1 degrees apart
HEIGHTS = 24


@pytest.fixture(scope="module")
def scans() -> NDArray[np.float64]:
    """(2, scans, sectors) m: what is said, and what is true."""
    config = preset("street")
    pairs = []
    for seed in range(3):
        world = worlds.street(seed, SECONDS, rig=None)
        perception = Perception(config)
        for sensors in world.run(SECONDS):
            for sweep in sensors.sweeps:
                scan = perception.sweep(sweep.cloud).lidar_scan
                assert scan is not None
                # before it knows its speed the robot can't undo its own motion
                if sweep.cloud.stamp > 0.05:
                    pairs.append((scan.ranges, truth(world, sweep, config)))
    return np.array(pairs, np.float64).transpose(1, 0, 2)


def truth(world: World, sweep: Sweep, config: Config) -> NDArray[np.float64]:
    """(S,) m from the camera to the nearest surface in the robot's height band, at the stamp."""
    count = config.scan.sectors * RAYS
    azimuth = -np.pi + (np.arange(count) + 0.5) * 2 * np.pi / count
    options, pose = config.lidar_scan, sweep.world_from_sensor
    height = np.linspace(options.lowest + 0.02, options.clearance - 0.02, HEIGHTS)
    fan = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(count)], 1) @ pose[:3, :3].T
    x, y, z = pose[:3, :3].T
    eye = pose[:3, 3] + options.camera_x * x + options.camera_y * y
    eyes = eye + (height - Lidar().mount[2])[:, None] * z
    directions = np.repeat(fan[None].astype(np.float32), HEIGHTS, axis=0)
    times = np.full(HEIGHTS, sweep.cloud.stamp)
    hits = world.scene.cast(Rays(times, eyes, directions, config.scan.range_max))
    met = hits.face >= 0
    met[met] = world.scene.category[hits.face[met]] != Category.GROUND
    nearest = np.where(met, hits.distance, np.inf).reshape(HEIGHTS, count).min(axis=0)
    return nearest.reshape(config.scan.sectors, RAYS).min(axis=1)


def test_no_sector_is_clear_where_an_obstacle_stands(scans: NDArray[np.float64]) -> None:
    said, true = scans
    assert not (np.isposinf(said) & np.isfinite(true)).any()
    clear = np.isposinf(true)
    assert clear.sum() > 5 and np.isposinf(said[clear]).mean() > 0.3, "nor is all unknown"


def test_distances_are_true(scans: NDArray[np.float64]) -> None:
    """A beam every 0.35 degrees with 2 cm of noise: surfaces along the line of sight are met late,
    and a sliver of one at a sector's edge by none."""
    said, true = scans
    both = np.isfinite(said) & np.isfinite(true)
    assert both.mean() > 0.85
    error = said[both] - true[both]
    assert abs(np.median(error)) < 0.02
    assert np.median(np.abs(error)) < 0.035
    assert (error > 1.0).mean() < 0.03, "hardly any that is not seen"
