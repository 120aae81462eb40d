"""What need not move, doesn't: a flow is kept where it explains more than standing still.

On ego-compensated streets nine points in ten stand still, and a soft correspondence gives each of
them a little motion. As in the rigid-cluster solver the burden of proof lies with the motion.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ssl_perception.types import FloatArray

NEIGHBOURS = 16
REACH = 1.5  # m, of a point's surroundings
CAP = 0.5  # m, where a distance stops to count


def settle(points: FloatArray, goal: FloatArray, flow: FloatArray, gain: float) -> FloatArray:
    """The flow where the surroundings, moved as the point, come nearer to the target by ``gain``.

        mean_j min(0.5, d(x_j + f_i)) < mean_j min(0.5, d(x_j)) - gain,    j near i

    Args:
        points: (N, 3), goal: (M, 3), flow: (N, 3), metres.
        gain: metres.

    Returns:
        (N, 3), zero where it is not kept.
    """
    tree = cKDTree(goal)
    distance, near = cKDTree(points).query(points, k=min(NEIGHBOURS, len(points)))
    distance, near = distance.reshape(len(points), -1), near.reshape(len(points), -1)
    near = np.where(distance < REACH, near, np.arange(len(points))[:, None])

    def residual(moved: FloatArray) -> FloatArray:
        off, _ = tree.query(moved, distance_upper_bound=CAP)
        return np.minimum(off, CAP)

    still = residual(points)[near].mean(axis=1)
    unsettled = np.flatnonzero((still > gain) & flow.any(axis=1))
    moved = points[near[unsettled]] + flow[unsettled, None]
    explained = residual(moved.reshape(-1, 3)).reshape(moved.shape[:2]).mean(axis=1)
    kept = unsettled[explained < still[unsettled] - gain]
    answer = np.zeros_like(flow)
    answer[kept] = flow[kept]
    return answer
