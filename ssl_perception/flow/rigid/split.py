"""Two bodies that touch make one cluster: it is split where their motions differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.components import Components, measure
from ssl_perception.flow.rigid.sampling import Sample
from ssl_perception.flow.rigid.voxel_grid import VoxelGrid
from ssl_perception.runtime.numba_kernel import kernel

MAX_DEPTH = 3
_MIN_EVIDENCE = 4.0  # points' worth of cost, on either side
_SMOOTHING = 0.8  # m
_UNDECIDED = 0.02  # mean cost difference


@kernel
def disagreement(
    m: int, still: NDArray[np.float32], moved: NDArray[np.float32]
) -> tuple[float, float]:
    """What a motion gains over no motion where it fits better, and loses where worse.

    Args:
        still, moved: (>= m,) cost per sampled point.
    """
    gain = loss = 0.0
    for i in range(m):
        difference = still[i] - moved[i]
        gain += max(difference, 0.0)
        loss += max(-difference, 0.0)
    return gain, loss


@kernel
def worth_splitting(gain: float, loss: float) -> bool:
    """Whether part of a cluster clearly moves while another part clearly doesn't."""
    return gain >= _MIN_EVIDENCE and loss >= _MIN_EVIDENCE


@kernel
def split(
    grid: VoxelGrid,
    points: NDArray[np.float32],
    matched: NDArray[np.int32],
    parts: Components,
    c: int,
    sample: Sample,
    still: NDArray[np.float32],
    moved: NDArray[np.float32],
    motion: NDArray[np.float64],
    verdict: NDArray[np.float64],
    fresh: int,
) -> bool:
    """Split cluster c into its moving part (a new cluster, ``fresh``) and its static part (c).

    Each sampled point is labelled by whether the motion or none fits its neighbourhood better. The
    undecided, such as the middle of a truck's long side, move if they lie within the box, along
    the motion, of those that do; else they follow the nearest decided one. Each voxel follows its
    nearest sampled point.

    Args:
        grid, points, matched: of the source. sample: of cluster c; still, moved: its (m,) costs.
        motion: (4,), the motion. verdict: (128,) scratch. fresh: a number not yet in use.

    Returns:
        False, and nothing changed, when one part would be empty or there is no room.
    """
    m = sample.size[0]
    if fresh >= len(parts.begin):
        return False
    for i in range(m):
        total = 0.0
        count = 0
        for j in range(m):
            if _square(sample.x, i, j) < _SMOOTHING**2:
                total += still[j] - moved[j]
                count += 1
        mean = total / count
        verdict[i] = 0.0 if abs(mean) < _UNDECIDED else mean
    _fill_box(sample.x, m, motion, verdict)
    centre_x, centre_y = parts.centre[c, 0], parts.centre[c, 1]
    begin, end = parts.begin[c], parts.end[c]
    moving = 0
    for a in range(begin, end):
        v = parts.order[a]
        best = np.inf
        decision = 0.0
        for i in range(m):
            if verdict[i] == 0.0:
                continue
            square = (
                (sample.x[0, i] + centre_x - grid.centroid[v, 0]) ** 2
                + (sample.x[1, i] + centre_y - grid.centroid[v, 1]) ** 2
                + (sample.x[2, i] - grid.centroid[v, 2]) ** 2
            )
            if square < best:
                best, decision = square, verdict[i]
        if decision > 0.0:
            parts.label[v] = fresh
            moving += 1
    if moving == 0 or moving == end - begin:
        for a in range(begin, end):
            parts.label[parts.order[a]] = c
        return False
    parts.order[begin:end] = parts.order[begin:end][
        np.argsort(parts.label[parts.order[begin:end]], kind="mergesort")
    ]
    parts.begin[fresh], parts.end[fresh] = end - moving, end
    parts.end[c] = end - moving
    parts.depth[c] += 1
    parts.depth[fresh] = parts.depth[c]
    parts.sibling[c] = fresh
    parts.sibling[fresh] = -1
    measure(grid, points, matched, parts, c)
    measure(grid, points, matched, parts, fresh)
    return True


@kernel
def _fill_box(
    x: NDArray[np.float32], m: int, motion: NDArray[np.float64], verdict: NDArray[np.float64]
) -> None:
    """The undecided within the moving ones' box, its sides along and across the motion, move."""
    length = max(np.hypot(motion[0], motion[1]), 1e-6)
    ux, uy = motion[0] / length, motion[1] / length
    low_u = low_v = low_z = np.inf
    high_u = high_v = high_z = -np.inf
    for i in range(m):
        if verdict[i] > 0.0:
            u, v = x[0, i] * ux + x[1, i] * uy, -x[0, i] * uy + x[1, i] * ux
            low_u, high_u = min(low_u, u), max(high_u, u)
            low_v, high_v = min(low_v, v), max(high_v, v)
            low_z, high_z = min(low_z, x[2, i]), max(high_z, x[2, i])
    grow = 0.1
    for i in range(m):
        if verdict[i] == 0.0:
            u, v = x[0, i] * ux + x[1, i] * uy, -x[0, i] * uy + x[1, i] * ux
            inside = low_u - grow <= u <= high_u + grow and low_v - grow <= v <= high_v + grow
            if inside and low_z - grow <= x[2, i] <= high_z + grow:
                verdict[i] = 1.0


@kernel
def merge(parts: Components, c: int) -> None:
    """Undo the last split of cluster c: the part split off turned out static."""
    fresh = parts.sibling[c]
    for a in range(parts.begin[fresh], parts.end[fresh]):
        parts.label[parts.order[a]] = c
    parts.end[c] = parts.end[fresh]
    parts.begin[fresh] = parts.end[fresh]
    parts.points[fresh] = 0
    parts.unmatched[fresh] = 0
    parts.sibling[c] = -1
    parts.depth[c] = MAX_DEPTH


@kernel
def _square(x: NDArray[np.float32], i: int, j: int) -> float:
    total = 0.0
    for axis in range(3):
        total += (x[axis, i] - x[axis, j]) ** 2
    return total
