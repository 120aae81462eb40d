"""Height above ground: clusters too high above their surroundings to be movers stay static.

Nearly every false mover in a street is foliage or a piece of roof: sparse, and sampled anew in
each sweep, so that some part of it fits under some motion. Vehicles and pedestrians stand on the
ground. The ground itself was removed, and no plane is assumed (streets climb): the lowest voxel
within some 15 m takes its place, as the median over nine cells, since reflections lie metres below
ground.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.voxel_grid import EDGE, VoxelGrid
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.numba_kernel import kernel

_CELL = 50  # voxels: 10 m


class HeightLimit(NamedTuple):
    """Height limit per 10 m cell of the grid, for the bottom of a cluster.

    Attributes:
        lower: (2,) float32, corner of cell (0, 0), metres. height: (I, J) float32, metres.
    """

    lower: NDArray[np.float32]
    height: NDArray[np.float32]


def height_limit(grid: VoxelGrid, max_height: float, workspace: Workspace) -> HeightLimit:
    """``max_height`` metres above the median of the lowest voxels of each cell and its
    neighbours."""
    shape = tuple(-(-cells // _CELL) for cells in grid.rank.shape[:2])
    lowest = workspace.array("height_limit.lowest", shape, np.float32)
    height = workspace.array("height_limit.height", shape, np.float32)
    _set_heights(grid, np.float32(max_height), lowest, height)
    return HeightLimit(grid.lower[:2], height)


@kernel
def _set_heights(
    grid: VoxelGrid,
    max_height: np.float32,
    lowest: NDArray[np.float32],
    height: NDArray[np.float32],
) -> None:
    lowest[:] = np.float32(np.inf)
    for v in range(len(grid.cell)):
        i, j = grid.cell[v, 0] // _CELL, grid.cell[v, 1] // _CELL
        lowest[i, j] = min(lowest[i, j], grid.centroid[v, 2])
    around = np.empty(9, np.float32)
    for i in range(lowest.shape[0]):
        for j in range(lowest.shape[1]):
            count = 0
            for a in range(max(i - 1, 0), min(i + 2, lowest.shape[0])):
                for b in range(max(j - 1, 0), min(j + 2, lowest.shape[1])):
                    if lowest[a, b] < np.float32(np.inf):
                        around[count] = lowest[a, b]
                        count += 1
            around[:count].sort()
            height[i, j] = (around[count // 2] if count else np.float32(0.0)) + max_height


@kernel
def above_limit(limit: HeightLimit, centre: NDArray[np.float32], bottom: float) -> bool:
    """Whether a cluster with its centre (2,) there has its lowest point ``bottom`` too high."""
    size = np.float32(_CELL * EDGE)
    i = int((centre[0] - limit.lower[0]) / size)
    j = int((centre[1] - limit.lower[1]) / size)
    i = min(max(i, 0), limit.height.shape[0] - 1)
    j = min(max(j, 0), limit.height.shape[1] - 1)
    return bool(bottom > limit.height[i, j])
