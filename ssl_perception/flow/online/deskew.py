"""Motion compensation inside a sweep: where each point would have been seen at the stamp.

A spinning lidar measures for a tenth of a second while it is carried along. With the time of each
point and the sensor's velocity, static things fall back into place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import FloatArray


def deskew(points: FloatArray, time: FloatArray, twist: NDArray[np.float64]) -> FloatArray:
    """Points in the sensor's axes at the stamp.

    To first order in the turn within a sweep: at 1 rad/s and 50 ms the second is 1 mm per metre.

    Args:
        points: (N, 3), each in the sensor's axes at its own time.
        time: (N,) seconds relative to the stamp.
        twist: (6,) sensor velocity in its own axes: m/s, then rad/s.

    Returns:
        (N, 3) float32.
    """
    straight = np.empty_like(points)
    _deskew(points, time, twist.astype(np.float32), straight)
    return straight


@kernel
def _deskew(points: FloatArray, time: FloatArray, twist: FloatArray, straight: FloatArray) -> None:
    """p + t (v + w x p)"""
    vx, vy, vz, wx, wy, wz = twist
    for p in range(len(points)):
        x, y, z, t = points[p, 0], points[p, 1], points[p, 2], time[p]
        straight[p, 0] = x + t * (vx + wy * z - wz * y)
        straight[p, 1] = y + t * (vy + wz * x - wx * z)
        straight[p, 2] = z + t * (vz + wx * y - wy * x)
