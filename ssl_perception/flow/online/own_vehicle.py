"""The robot's own points in a sweep, and those that are no returns: left out before the work,
unknown after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import VehicleConfig
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray, MovingObject, PointCloud, SceneFlow

MAX_USUAL = 300.0  # m, of the median distance


def own_points(sweep: PointCloud, vehicle: VehicleConfig) -> BoolArray | None:
    """(N,) points of the robot itself; None: there are none, or its box isn't set."""
    if not vehicle.is_set:
        return None
    origin = sweep.origin.astype(np.float32)
    low = origin - np.array([vehicle.rear, vehicle.right, vehicle.below], np.float32)
    high = origin + np.array([vehicle.front, vehicle.left, vehicle.above], np.float32)
    own = _inside(sweep.points, low, high)
    return own if own.any() else None


def far_points(sweep: PointCloud, limit: float) -> BoolArray | None:
    """(N,) points with a coordinate beyond ``limit`` m, which no lidar reaches; None: none."""
    low, high = np.full(3, -limit, np.float32), np.full(3, limit, np.float32)
    near = _inside(sweep.points, low, high)
    return None if near.all() else ~near


def not_in_metres(sweep: PointCloud) -> str:
    """Empty, or, where most points lie farther away than lidars see, that their unit is another."""
    some = sweep.points[:: max(1, len(sweep) // 500)] - sweep.origin
    distance = float(np.median(np.linalg.norm(some, axis=1)))
    if not distance > MAX_USUAL:
        return ""
    return f"half of the points are more than {MAX_USUAL:.0f} m away: are they in millimetres?"


def with_own(flow: SceneFlow, kept: NDArray[np.intp], count: int) -> SceneFlow:
    """The flow of the points ``kept`` as that of all ``count``: the others' motion is unknown."""
    return replace(
        flow,
        flow=spread(flow.flow, kept, np.zeros((count, 3), np.float32)),
        moving=spread(flow.moving, kept, np.zeros(count, np.bool_)),
        confidence=spread(flow.confidence, kept, np.zeros(count, np.float32)),
    )


def renumbered(objects: list[MovingObject], kept: NDArray[np.intp]) -> list[MovingObject]:
    """Objects whose ``points`` count among all points, not among those ``kept``."""
    return [replace(seen, points=kept[seen.points]) for seen in objects]


def spread(values: NDArray, kept: NDArray[np.intp], onto: NDArray) -> NDArray:
    """``onto``, with the values of the points kept written in."""
    onto[kept] = values
    return onto


@kernel
def _inside(points: FloatArray, low: FloatArray, high: FloatArray) -> BoolArray:
    inside = np.empty(len(points), np.bool_)
    for p in range(len(points)):
        inside[p] = (
            low[0] <= points[p, 0] <= high[0]
            and low[1] <= points[p, 1] <= high[1]
            and low[2] <= points[p, 2] <= high[2]
        )
    return inside
