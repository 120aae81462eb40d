"""Static test: which voxels the other sweep explains without any motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.voxel_grid import EDGE, VoxelGrid, column_range
from ssl_perception.runtime.numba_kernel import kernel


@kernel
def match_voxels(
    grid: VoxelGrid,
    other: VoxelGrid,
    base: float,
    per_metre: float,
    matched: NDArray[np.int32],
) -> None:
    """For each voxel, one of the other cloud's within its threshold, or -1: unmatched.

    theta = base + per_metre * horizontal range from the sensor (at the coordinates' origin).
    The search goes ring by ring of columns and stops at the first match, so static things,
    nearly all of a cloud, cost a look-up or two.

    Args:
        grid, other: ``VoxelGrid`` of V and V' voxels with the same corner and shape.
        base, per_metre: of the threshold, metres and 1.
        matched: (V,) int32, written.
    """
    for v in range(len(grid.cell)):
        i, j, k = grid.cell[v, 0], grid.cell[v, 1], grid.cell[v, 2]
        x, y, z = grid.centroid[v, 0], grid.centroid[v, 1], grid.centroid[v, 2]
        theta = base + per_metre * np.sqrt(x * x + y * y)
        limit = theta * theta
        reach = int(np.ceil(theta / EDGE))
        matched[v] = -1
        ring = 0
        while matched[v] < 0 and ring <= reach:
            for di in range(-ring, ring + 1):
                step = 1 if abs(di) == ring else max(2 * ring, 1)
                for dj in range(-ring, ring + 1, step):
                    begin, end = column_range(other, i + di, j + dj, k, reach)
                    for w in range(begin, end):
                        dx = other.centroid[w, 0] - x
                        dy = other.centroid[w, 1] - y
                        dz = other.centroid[w, 2] - z
                        if dx * dx + dy * dy + dz * dz <= limit:
                            matched[v] = w
                            break
                    if matched[v] >= 0:
                        break
                if matched[v] >= 0:
                    break
            ring += 1
