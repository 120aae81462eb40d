"""Clusters: voxels that touch, with a reach that grows as the beams fan out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.voxel_grid import VoxelGrid, column_range
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.numba_kernel import kernel

VERTICAL_REACH = 2  # voxels; rings of a lidar leave gaps
SPARE = 256  # clusters that splitting may add
RANGE_2, RANGE_3 = 25.0, 40.0  # m, from where on the horizontal reach is 2 and 3 voxels


class Components(NamedTuple):
    """K clusters over V voxels, numbered by their first voxel; splitting adds more at the end.

    Attributes:
        size: (1,) int64, K. The arrays below have room for more.
        label: (V,) int32.
        begin, end: (room,) int32, the voxels of cluster c are ``order[begin[c]:end[c]]``.
        order: (V,) int32.
        points: (room,) int32, points per cluster.
        unmatched: (room,) int32, unmatched voxels per cluster.
        box: (room, 2, 3) float32, lower and upper corner of its points, metres.
        centre: (room, 2) float32, mean x, y of its points, metres.
        depth: (room,) int8, how often it was split.
        sibling: (room,) int32, the part split off last.
    """

    size: NDArray[np.int64]
    label: NDArray[np.int32]
    begin: NDArray[np.int32]
    end: NDArray[np.int32]
    order: NDArray[np.int32]
    points: NDArray[np.int32]
    unmatched: NDArray[np.int32]
    box: NDArray[np.float32]
    centre: NDArray[np.float32]
    depth: NDArray[np.int8]
    sibling: NDArray[np.int32]


def connected_components(
    grid: VoxelGrid,
    points: NDArray[np.float32],
    matched: NDArray[np.int32],
    workspace: Workspace,
) -> Components:
    """Group the voxels of a cloud, and measure each group."""
    voxels = len(grid.cell)
    parent = workspace.array("components.parent", (voxels,), np.int32)
    label = workspace.array("components.label", (voxels,), np.int32)
    count = _link(grid, parent, label)
    room = count + SPARE
    parts = Components(
        np.array([count]),
        label,
        workspace.array("components.begin", (room,), np.int32),
        workspace.array("components.end", (room,), np.int32),
        workspace.array("components.order", (voxels,), np.int32),
        workspace.array("components.points", (room,), np.int32),
        workspace.array("components.unmatched", (room,), np.int32),
        workspace.array("components.box", (room, 2, 3), np.float32),
        workspace.array("components.centre", (room, 2), np.float32),
        workspace.array("components.depth", (room,), np.int8),
        workspace.array("components.sibling", (room,), np.int32),
    )
    _list_voxels(grid, points, matched, parts)
    return parts


@kernel
def _root(parent: NDArray[np.int32], v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@kernel
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


@kernel
def _list_voxels(
    grid: VoxelGrid, points: NDArray[np.float32], matched: NDArray[np.int32], parts: Components
) -> None:
    """Voxel lists of the clusters, then their measures."""
    parts.end[:] = 0
    parts.depth[:] = 0
    parts.sibling[:] = -1
    for v in range(len(grid.cell)):
        parts.end[parts.label[v]] += 1
    total = 0
    for c in range(parts.size[0]):
        parts.begin[c] = total
        total += parts.end[c]
        parts.end[c] = parts.begin[c]
    for v in range(len(grid.cell)):
        c = parts.label[v]
        parts.order[parts.end[c]] = v
        parts.end[c] += 1
    for c in range(parts.size[0]):
        measure(grid, points, matched, parts, c)


@kernel
def measure(
    grid: VoxelGrid,
    points: NDArray[np.float32],
    matched: NDArray[np.int32],
    parts: Components,
    c: int,
) -> None:
    """Counts, box and centre of cluster c, from its voxels."""
    count = unmatched = 0
    sum_x = sum_y = 0.0
    box = parts.box[c]
    box[0] = np.float32(np.inf)
    box[1] = np.float32(-np.inf)
    for v in parts.order[parts.begin[c] : parts.end[c]]:
        inside = grid.first[v + 1] - grid.first[v]
        count += inside
        unmatched += matched[v] < 0
        sum_x += grid.centroid[v, 0] * inside
        sum_y += grid.centroid[v, 1] * inside
        for a in range(grid.first[v], grid.first[v + 1]):
            p = grid.order[a]
            for axis in range(3):
                box[0, axis] = min(box[0, axis], points[p, axis])
                box[1, axis] = max(box[1, axis], points[p, axis])
    parts.points[c] = count
    parts.unmatched[c] = unmatched
    parts.centre[c, 0] = sum_x / count
    parts.centre[c, 1] = sum_y / count
