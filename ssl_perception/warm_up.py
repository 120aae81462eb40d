"""Everything that is slow once - imports, compilers, caches - done before the first real sweep."""

from __future__ import annotations

import numpy as np

from ssl_perception.config import Config
from ssl_perception.flow.online.accumulation import Accumulator
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.obstacles.collision import time_to_collision
from ssl_perception.obstacles.lidar_scan import lidar_scan
from ssl_perception.types import PointCloud

COMPILED = ("rigid_cluster", "neural_prior")
SOLVER_SECONDS = 1.0  # a gradient solver needs few steps to be warm


def time_to_warm(method: str) -> float | None:
    """Seconds that a method gets for its first answer; None: as long as its compiler takes.

    A compiler takes a minute, once after an installation. With a deadline its kernels for the
    registration of clusters would not be reached, and the first real sweep would wait for them.
    """
    return None if method.partition(":")[0] in COMPILED else SOLVER_SECONDS


def warm_up(config: Config) -> None:
    """Run the chosen method over three small made-up sweeps with one moving box.

    Raises:
        InputError: the configuration names a method that isn't there.
    """
    flow = config.flow
    limit = time_to_warm(flow.method) or 0.0
    online = OnlineFlow(
        config.model_copy(update={"flow": flow.model_copy(update={"deadline": limit})})
    )
    accumulator = Accumulator(config.accumulation) if config.accumulation.sweeps else None
    for sweep in range(3):
        result = online.process(_scene(0.1 * sweep, config.ground.sensor_height or 1.7))
        time_to_collision(result, config.collision)
        lidar_scan(result, config)
        if accumulator is not None:
            accumulator.add(result)


def _scene(stamp: float, height: float) -> PointCloud:
    """Ground, two walls, poles, and a box that moves at 10 m/s."""
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform(-25, 25, (4000, 2)), np.full(4000, -height)])
    walls = rng.uniform((-25, -0.05, -height), (25, 0.05, 4), (3000, 3))
    walls[:, 1] += np.where(np.arange(3000) % 2, 12.0, -12.0)
    poles = rng.uniform((-0.1, -0.1, -height), (0.1, 0.1, 3), (1000, 3))
    poles[:, 0] += 6.0 * (np.arange(1000) % 7 - 3)
    poles[:, 1] += np.where(np.arange(1000) % 2, 8.0, -8.0)
    box = rng.uniform((-2, -0.9, 0.3 - height), (2, 0.9, 1.6 - height), (600, 3))
    box[:, :2] += 10.0 + 10.0 * stamp, 3.0
    points = np.concatenate([ground, walls, poles, box])
    return PointCloud(
        points.astype(np.float32), np.zeros(len(points), np.float32), stamp, "warm_up"
    )
