"""Motion compensation inside a sweep: where each point would have been seen at the stamp.

A spinning lidar measures for a tenth of a second while it is carried along. With the time of each
point and the sensor's velocity, static things fall back into place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    velocity, turn = twist[:3].astype(np.float32), twist[3:].astype(np.float32)
    return points + time[:, None] * (velocity + np.cross(turn, points))
