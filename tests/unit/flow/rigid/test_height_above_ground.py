"""Clusters high above the ground are static; those on a hill may move."""

from __future__ import annotations

import numpy as np

from ssl_perception.config import RigidClusterConfig
from ssl_perception.flow import estimate_flow
from ssl_perception.types import PointCloud


def block(centre: tuple[float, float, float], seed: int) -> np.ndarray:
    """Points on a block of 2 x 2 x 1 m."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 0.5, (1500, 3)) * (2.0, 2.0, 1.0)
    face = rng.integers(0, 2, len(points))
    points[np.arange(len(points)), face] = np.sign(points[np.arange(len(points)), face])
    return points + centre


def scene(height: float, shift: float, seed: int, hill: float = 0.0) -> np.ndarray:
    """Posts every 5 m on ground that climbs by ``hill`` m/m, and a block that moves."""
    rng = np.random.default_rng(seed)
    posts = [
        np.array([x, y, hill * x]) + rng.uniform(0, 1, (40, 3)) * (0.1, 0.1, 1.5)
        for x in range(-30, 31, 5)
        for y in (-15, -10, 10, 15)
    ]
    return np.concatenate([*posts, block((12.0 + shift, 0.0, 12.0 * hill + height), 3)])


def moving(height: float, limit: float = 3.0, hill: float = 0.0) -> float:
    """Share of the block's points that are found moving."""
    source, target = (
        PointCloud(
            scene(height, shift, seed, hill).astype(np.float32),
            None,
            stamp,
            "lidar",
            np.array([0, 0, 1.8], np.float32),
        )
        for shift, seed, stamp in ((0.0, 1, 0.0), (1.0, 2, 0.1))
    )
    flow = estimate_flow(source, target, options=RigidClusterConfig(max_height_above_ground=limit))
    return float(flow.moving[-1500:].mean())


def test_a_block_on_the_ground_moves_and_one_high_above_it_does_not() -> None:
    assert moving(0.6) > 0.95
    assert moving(6.0) == 0.0


def test_a_hill_is_ground() -> None:
    assert moving(0.6, hill=0.12) > 0.95


def test_where_things_fly_they_may_move() -> None:
    assert moving(6.0, limit=1000.0) > 0.95


def test_a_reflection_below_ground_is_not_the_ground() -> None:
    low = np.array([[10.0, 3.0, -8.0], [10.1, 3.0, -8.0]], np.float32)
    source, target = (
        PointCloud(
            np.concatenate([scene(0.6, shift, seed), low]).astype(np.float32),
            None,
            stamp,
            "lidar",
            np.array([0, 0, 1.8], np.float32),
        )
        for shift, seed, stamp in ((0.0, 1, 0.0), (1.0, 2, 0.1))
    )
    assert estimate_flow(source, target).moving[-1502:-2].mean() > 0.95
