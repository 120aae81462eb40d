"""Static suppression: a flow is kept only where it explains the target better than no motion.

On ego-compensated streets nine points in ten are static, and a soft correspondence gives each of
them a little motion. As in the rigid-cluster solver a motion must be supported by the data.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ssl_perception.types import FloatArray

NEIGHBOURS = 16
REACH = 1.5  # m, of a point's surroundings
CAP = 0.5  # m, where distances are truncated


def suppress_static(
    points: FloatArray, target: FloatArray, flow: FloatArray, gain: float
) -> FloatArray:
    """The flow where the surroundings, moved as the point, come nearer to the target by ``gain``.

        mean_j min(0.5, d(x_j + f_i)) < mean_j min(0.5, d(x_j)) - gain,    j near i

    Args:
        points: (N, 3), target: (M, 3), flow: (N, 3), metres.
        gain: metres.

    Returns:
        (N, 3), zero where it is not kept.
    """
    tree = cKDTree(target)
    distance, near = cKDTree(points).query(points, k=min(NEIGHBOURS, len(points)))
    distance, near = distance.reshape(len(points), -1), near.reshape(len(points), -1)
    near = np.where(distance < REACH, near, np.arange(len(points))[:, None])

    def residual(moved: FloatArray) -> FloatArray:
        off, _ = tree.query(moved, distance_upper_bound=CAP)
        return np.minimum(off, CAP)

    static = residual(points)[near].mean(axis=1)
    tested = np.flatnonzero((static > gain) & flow.any(axis=1))
    moved = points[near[tested]] + flow[tested, None]
    explained = residual(moved.reshape(-1, 3)).reshape(moved.shape[:2]).mean(axis=1)
    kept = tested[explained < static[tested] - gain]
    suppressed = np.zeros_like(flow)
    suppressed[kept] = flow[kept]
    return suppressed
