"""Slow movers: what between two sweeps moves less than the static test can tell.

Someone who walks at 1 m/s gets 0.1 m from sweep to sweep, which is within the static test's radius:
his points match where he was, and he is no candidate. Over four sweeps he gets 0.4 m. So clusters
that lie where the beams of an earlier sweep passed through are solved once more, against the
obstacles of that sweep. It is the same solver, on the surroundings of these clusters alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import RigidClusterConfig
from ssl_perception.flow.online.motion_evidence import MotionEvidence
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.flow.solvers.rigid_cluster import Guesses, cluster_flow
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray, PointCloud

SWEEPS = 4  # back to the sweep to compare with
MAX_SECONDS = 0.6  # back to it: for longer, nobody walks straight on
MAX_RANGE = 30.0  # m; farther, people are too few points
MIN_SPEED = 0.4  # m/s; slower ones may be walls and poles bent by the robot's own motion
MAX_SPEED = 2.4  # m/s; what is faster is found from sweep to sweep
SEARCH_MARGIN = 0.6  # m/s, so that what is faster is seen to be
MAX_EXTENT = 2.5  # m, of a cluster: people, bicycles
MIN_POINTS = 12  # of a cluster
MIN_HEIGHT = 0.3  # m, of a cluster
MIN_DISPLACED, MIN_SHARE = 5, 0.3  # points, and their share, that lie where it was free
CELL = 0.5  # m, of the mask of surroundings
_SIDE = int(2 * MAX_RANGE / CELL)
_MARGIN = int(np.ceil(MAX_SPEED * MAX_SECONDS / CELL))  # cells


@dataclass(eq=False)
class _Earlier:
    obstacles: PointCloud
    newest_from_this: NDArray[np.float64]


class SlowMovers:
    """Keeps the obstacles of the last sweeps; ``move`` and ``add`` once a sweep."""

    def __init__(self) -> None:
        self._earlier: deque[_Earlier] = deque(maxlen=SWEEPS)
        self._workspace = Workspace()

    def reset(self) -> None:
        """Forget all sweeps."""
        self._earlier.clear()

    def move(self, current_from_previous: NDArray[np.float64]) -> None:
        """Transform the earlier sweeps by the ego motion (4, 4) to the newest."""
        for earlier in self._earlier:
            earlier.newest_from_this = current_from_previous @ earlier.newest_from_this

    def add(self, obstacles: PointCloud) -> None:
        """Add the newest sweep's obstacles, in its frame, once it has been compared."""
        self._earlier.append(_Earlier(obstacles, np.eye(4)))

    def solve(
        self,
        source: PointCloud,
        label: NDArray[np.int32],
        evidence: MotionEvidence,
        guesses: Guesses,
        options: RigidClusterConfig,
        deadline: Deadline,
    ) -> tuple[FloatArray, NDArray[np.int32]] | None:
        """Solve the clusters that lie where an earlier sweep saw nothing.

        Args:
            source: the newest sweep's obstacles, N points.
            label: (N,) cluster of each point; -1: leave it out.
            evidence: of the sweeps before: where their beams passed through.
            guesses: as for ``cluster_flow``.
            options: of the solver.
            deadline: when to stop.

        Returns:
            (N, 3) float32 velocity, m/s, and (N,) label of the moving clusters, -1 elsewhere; None
            when there is nothing to solve.
        """
        if len(self._earlier) < SWEEPS or deadline.passed:
            return None
        earlier = self._earlier[0]
        interval = earlier.obstacles.stamp - source.stamp
        if not -MAX_SECONDS <= interval < 0.0:
            return None
        suspect = _suspects(source.points - source.origin, label, evidence)
        if not suspect.any():
            return None
        mask = np.zeros((_SIDE, _SIDE), np.bool_)
        _mark(source.points, source.origin, suspect, mask)
        before = earlier.obstacles.transformed(earlier.newest_from_this)
        here, there = (_inside(cloud.points, source.origin, mask) for cloud in (source, before))
        if not there.any():
            return None
        chosen = np.flatnonzero(here)
        limited = options.model_copy(update={"max_speed": MAX_SPEED + SEARCH_MARGIN})
        solved = cluster_flow(
            source.select(here),
            before.select(there),
            limited,
            deadline,
            guesses,
            self._workspace,
        )
        velocity = np.zeros_like(source.points)
        velocity[chosen] = solved.flow.flow / np.float32(interval)
        moving = np.full(len(source), -1, np.int32)
        moving[chosen] = np.where(solved.flow.moving, solved.label, -1)
        speed = np.linalg.norm(velocity[:, :2], axis=1)
        moving[~suspect | (speed < MIN_SPEED) | (speed > MAX_SPEED)] = -1
        return velocity, moving


def _suspects(points: FloatArray, label: NDArray[np.int32], evidence: MotionEvidence) -> BoolArray:
    """(N,) the points of clusters of a slow mover's size that enough of is displaced."""
    count = int(label.max(initial=-1)) + 1
    if count == 0:
        return np.zeros(len(label), np.bool_)
    size = np.zeros(count, np.int32)
    box = np.empty((count, 2, 3), np.float32)
    _measure(points, label, size, box)
    extent = box[:, 1] - box[:, 0]
    fits = (
        (size >= MIN_POINTS)
        & (extent[:, :2].max(axis=1) <= MAX_EXTENT)
        & (extent[:, 2] >= MIN_HEIGHT)
        & (np.abs(box[:, :, :2]).max(axis=(1, 2)) < MAX_RANGE - 1.0)
    )
    # only now, for it costs most
    displaced = evidence.displaced(points, np.append(fits, False)[label])
    moved = np.bincount(label[displaced], minlength=count)
    chosen = fits & (moved >= np.maximum(MIN_DISPLACED, MIN_SHARE * size))
    suspect: BoolArray = np.append(chosen, False)[label]
    return suspect


@kernel
def _measure(
    points: FloatArray,
    label: NDArray[np.int32],
    size: NDArray[np.int32],
    box: NDArray[np.float32],
) -> None:
    """Points and box (2, 3) of each cluster, written."""
    box[:, 0] = np.float32(np.inf)
    box[:, 1] = np.float32(-np.inf)
    for p in range(len(label)):
        c = label[p]
        if c < 0:
            continue
        size[c] += 1
        for axis in range(3):
            box[c, 0, axis] = min(box[c, 0, axis], points[p, axis])
            box[c, 1, axis] = max(box[c, 1, axis], points[p, axis])


@kernel
def _mark(
    points: FloatArray, origin: FloatArray, chosen: BoolArray, mask: NDArray[np.bool_]
) -> None:
    """Mark the cells around the chosen points that a slow mover can come from."""
    for p in range(len(points)):
        if not chosen[p]:
            continue
        i = int(np.floor((points[p, 0] - origin[0] + MAX_RANGE) / CELL))
        j = int(np.floor((points[p, 1] - origin[1] + MAX_RANGE) / CELL))
        low_j, high_j = max(j - _MARGIN, 0), min(j + _MARGIN + 1, _SIDE)
        for a in range(max(i - _MARGIN, 0), min(i + _MARGIN + 1, _SIDE)):
            mask[a, low_j:high_j] = True


@kernel
def _inside(points: FloatArray, origin: FloatArray, mask: NDArray[np.bool_]) -> BoolArray:
    """(N,) the points whose cell is marked."""
    inside = np.zeros(len(points), np.bool_)
    for p in range(len(points)):
        i = int(np.floor((points[p, 0] - origin[0] + MAX_RANGE) / CELL))
        j = int(np.floor((points[p, 1] - origin[1] + MAX_RANGE) / CELL))
        inside[p] = 0 <= i < _SIDE and 0 <= j < _SIDE and mask[i, j]
    return inside
