"""Clusters: voxels that touch, with a reach that grows as the beams fan out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ssl_perception.flow.rigid.voxel_grid import VoxelGrid, column_range
from ssl_perception.flow.rigid.workspace import Workspace

VERTICAL_REACH = 2  # voxels; rings of a lidar leave gaps
RANGE_2, RANGE_3 = 25.0, 40.0  # m, from where on the horizontal reach is 2 and 3 voxels


class Components(NamedTuple):
    """K clusters over V voxels, numbered by their first voxel.

    Attributes:
        label: (V,) int32.
        first: (K + 1,) int32, the voxels of cluster c are ``order[first[c]:first[c + 1]]``.
        order: (V,) int32.
        points: (K,) int32, points per cluster.
        unmatched: (K,) int32, unmatched voxels per cluster.
        box: (K, 2, 3) float32, lower and upper corner of its points, metres.
        centre: (K, 2) float32, mean x, y of its points, metres.
    """

    label: NDArray[np.int32]
    first: NDArray[np.int32]
    order: NDArray[np.int32]
    points: NDArray[np.int32]
    unmatched: NDArray[np.int32]
    box: NDArray[np.float32]
    centre: NDArray[np.float32]


def connected_components(
    grid: VoxelGrid,
    points: NDArray[np.float32],
    unmatched: NDArray[np.bool_],
    workspace: Workspace,
) -> Components:
    """Group the voxels of a cloud, and measure each group."""
    voxels = len(grid.cell)
    parent = workspace.array("components.parent", (voxels,), np.int32)
    label = workspace.array("components.label", (voxels,), np.int32)
    count = _link(grid, parent, label)
    parts = Components(
        label,
        workspace.array("components.first", (count + 1,), np.int32),
        workspace.array("components.order", (voxels,), np.int32),
        workspace.array("components.points", (count,), np.int32),
        workspace.array("components.unmatched", (count,), np.int32),
        workspace.array("components.box", (count, 2, 3), np.float32),
        workspace.array("components.centre", (count, 2), np.float32),
    )
    sums = workspace.array("components.sums", (count, 2), np.float64)
    _measure(grid, points, unmatched, parts, sums)
    return parts


@njit(cache=True, nogil=True)
def _root(parent: NDArray[np.int32], v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@njit(cache=True, nogil=True)
def _link(grid: VoxelGrid, parent: NDArray[np.int32], label: NDArray[np.int32]) -> int:
    """Union-find over the half neighbourhood; the lower number becomes the root. Returns K."""
    for v in range(len(grid.cell)):
        parent[v] = v
    for v in range(len(grid.cell)):
        i, j, k = grid.cell[v, 0], grid.cell[v, 1], grid.cell[v, 2]
        square = grid.centroid[v, 0] ** 2 + grid.centroid[v, 1] ** 2
        reach = 1 if square < RANGE_2**2 else (2 if square < RANGE_3**2 else 3)
        own = _root(parent, v)
        for di in range(reach + 1):
            for dj in range(0 if di == 0 else -reach, reach + 1):
                begin, end = column_range(grid, i + di, j + dj, k, VERTICAL_REACH)
                for w in range(begin, end):
                    other = _root(parent, w)
                    if other < own:
                        parent[own] = other
                        own = other
                    elif own < other:
                        parent[other] = own
    count = 0
    for v in range(len(grid.cell)):
        root = _root(parent, v)
        if root == v:
            label[v] = count
            count += 1
        else:
            label[v] = label[root]
    return count


@njit(cache=True, nogil=True)
def _measure(
    grid: VoxelGrid,
    points: NDArray[np.float32],
    unmatched: NDArray[np.bool_],
    parts: Components,
    sums: NDArray[np.float64],
) -> None:
    """Voxel lists, counts, boxes and centres of the clusters."""
    parts.first[:] = 0
    parts.points[:] = 0
    parts.unmatched[:] = 0
    parts.box[:, 0] = np.float32(np.inf)
    parts.box[:, 1] = np.float32(-np.inf)
    sums[:] = 0.0
    for v in range(len(grid.cell)):
        c = parts.label[v]
        parts.first[c + 1] += 1
        parts.unmatched[c] += unmatched[v]
        parts.points[c] += grid.first[v + 1] - grid.first[v]
        for axis in range(2):
            sums[c, axis] += grid.centroid[v, axis] * (grid.first[v + 1] - grid.first[v])
        for a in range(grid.first[v], grid.first[v + 1]):
            p = grid.order[a]
            for axis in range(3):
                parts.box[c, 0, axis] = min(parts.box[c, 0, axis], points[p, axis])
                parts.box[c, 1, axis] = max(parts.box[c, 1, axis], points[p, axis])
    for c in range(len(parts.points)):
        parts.first[c + 1] += parts.first[c]
        for axis in range(2):
            parts.centre[c, axis] = sums[c, axis] / parts.points[c]
    for v in range(len(grid.cell)):
        c = parts.label[v]
        parts.order[parts.first[c]] = v
        parts.first[c] += 1
    for c in range(len(parts.points) - 1, -1, -1):
        parts.first[c + 1] = parts.first[c]
    parts.first[0] = 0
