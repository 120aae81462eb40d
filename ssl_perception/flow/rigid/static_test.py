"""Which voxels another cloud explains without any motion, and which it does not."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ssl_perception.flow.rigid.voxel_grid import EDGE, VoxelGrid, column_range


@njit(cache=True, nogil=True)
def find_unmatched(
    grid: VoxelGrid, other: VoxelGrid, base: float, per_metre: float, unmatched: NDArray[np.bool_]
) -> None:
    """Mark voxels whose centroid has no centroid of the other cloud within its threshold.

    theta = base + per_metre * horizontal range from the sensor (at the coordinates' origin).
    The search goes ring by ring of columns and stops at the first match, so static things,
    nearly all of a cloud, cost a look-up or two.

    Args:
        grid, other: ``VoxelGrid`` of V and V' voxels with the same corner and shape.
        base, per_metre: of the threshold, metres and 1.
        unmatched: (V,) bool, written.
    """
    for v in range(len(grid.cell)):
        i, j, k = grid.cell[v, 0], grid.cell[v, 1], grid.cell[v, 2]
        x, y, z = grid.centroid[v, 0], grid.centroid[v, 1], grid.centroid[v, 2]
        theta = base + per_metre * np.sqrt(x * x + y * y)
        limit = theta * theta
        reach = int(np.ceil(theta / EDGE))
        matched = False
        ring = 0
        while not matched and ring <= reach:
            for di in range(-ring, ring + 1):
                step = 1 if abs(di) == ring else max(2 * ring, 1)
                for dj in range(-ring, ring + 1, step):
                    begin, end = column_range(other, i + di, j + dj, k, reach)
                    for w in range(begin, end):
                        dx = other.centroid[w, 0] - x
                        dy = other.centroid[w, 1] - y
                        dz = other.centroid[w, 2] - z
                        if dx * dx + dy * dy + dz * dz <= limit:
                            matched = True
                            break
                    if matched:
                        break
                if matched:
                    break
            ring += 1
        unmatched[v] = not matched
