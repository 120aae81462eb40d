"""Static suppression: a flow is kept only where it explains the target better than no motion.

On ego-compensated streets nine points in ten are static, and a soft correspondence gives each of
them a little motion. As in the rigid-cluster solver a motion must be supported by the data.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ssl_perception.flow.scoop.set_conv import nearest_of
from ssl_perception.runtime.deadline import NEVER, Deadline
from ssl_perception.types import FloatArray

NEIGHBOURS = 16
REACH = 1.5  # m, of a point's surroundings
CAP = 0.5  # m, where distances are truncated


class StaticSuppression:
    """The flow where the surroundings, moved as the point, come nearer to the target by ``gain``.

        mean_j min(0.5, d(x_j + f_i)) < mean_j min(0.5, d(x_j)) - gain,    j near i

    Args:
        points: (N, 3), target: (M, 3), metres.
        gain: metres.
        deadline: looked at between blocks of points, while it is built.

    Raises:
        DeadlinePassed: time is up.
    """

    def __init__(
        self, points: FloatArray, target: FloatArray, gain: float, deadline: Deadline = NEVER
    ) -> None:
        self._points, self._gain = points, gain
        self._tree = cKDTree(target)
        nearest = nearest_of(points, points, min(NEIGHBOURS, len(points)), np.inf, deadline)
        itself = np.arange(len(points))[:, None]
        self._near = np.where(nearest[0] < REACH, nearest[1], itself)
        deadline.check()
        self._static = self._residual(points)[self._near].mean(axis=1)

    def __call__(self, flow: FloatArray) -> FloatArray:
        """Of a flow (N, 3) in metres what is kept, zero elsewhere."""
        tested = np.flatnonzero((self._static > self._gain) & flow.any(axis=1))
        moved = self._points[self._near[tested]] + flow[tested, None]
        explained = self._residual(moved.reshape(-1, 3)).reshape(moved.shape[:2]).mean(axis=1)
        kept = tested[explained < self._static[tested] - self._gain]
        suppressed = np.zeros_like(flow)
        suppressed[kept] = flow[kept]
        return suppressed

    def _residual(self, moved: FloatArray) -> FloatArray:
        off, _ = self._tree.query(moved, distance_upper_bound=CAP)
        return np.minimum(off, CAP)
