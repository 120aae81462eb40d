"""Hypotheses of a cluster's translation: exhaustive search over a horizontal lattice.

The target is spread into a byte field of capped squared distances. Because the lattice of
translations has the field's own cell, trying all translations of a point is adding a square patch
of the field to the scores: contiguous bytes, no look-up per translation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.sampling import Sample
from ssl_perception.flow.rigid.voxel_grid import EDGE, VoxelGrid, column_range
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.numba_kernel import kernel

STEP = 0.25  # m, field cell and lattice step
TRUNCATION = 0.4  # m
MAX_HYPOTHESES = 5
_LENGTH_COST = 0.01  # per point, for a translation as long as the usual lattice (12 steps)


class CostField(NamedTuple):
    """Capped squared distance to the target, in 1/255 of the cap, per 0.25 m cell.

    Attributes:
        lower: (3,) float32, corner of cell 0, metres.
        cost: (Z, X, Y) uint8, 255 at and beyond ``TRUNCATION``.
        reach: lattice half-width in steps; the field extends at least so far beyond the grid.
    """

    lower: NDArray[np.float32]
    cost: NDArray[np.uint8]
    reach: int


def cost_field(grid: VoxelGrid, max_displacement: float, workspace: Workspace) -> CostField:
    """Spread the centroids of the target's grid over the cells around them."""
    reach = int(np.ceil(max_displacement / STEP))
    columns_i, columns_j, _ = grid.occupied.shape
    top = int(grid.cell[:, 2].max()) + 1 if len(grid.cell) else 1
    shape = (
        int(np.ceil(top * EDGE / STEP)) + 3,
        int(np.ceil(columns_i * EDGE / STEP)) + 2 * reach + 3,
        int(np.ceil(columns_j * EDGE / STEP)) + 2 * reach + 3,
    )
    margin = np.array([reach + 1, reach + 1, 1], np.float32) * np.float32(STEP)
    field = CostField(grid.lower - margin, workspace.array("search.cost", shape, np.uint8), reach)
    _spread(grid.centroid, field)
    return field


@kernel
def _spread(centroid: NDArray[np.float32], field: CostField) -> None:
    """Each centroid lowers the cost of its 3 x 3 x 3 cells (distance to the cell's centre)."""
    field.cost[:] = np.uint8(255)
    scale = np.float32(255.0 * STEP * STEP / (TRUNCATION * TRUNCATION))
    per_step = np.float32(1.0 / STEP)
    squares = np.empty((3, 3), np.float32)
    for v in range(len(centroid)):
        x = (centroid[v, 0] - field.lower[0]) * per_step
        y = (centroid[v, 1] - field.lower[1]) * per_step
        z = (centroid[v, 2] - field.lower[2]) * per_step
        i, j, k = int(x), int(y), int(z)
        for d in range(3):
            squares[0, d] = (i + d - np.float32(0.5) - x) ** 2 * scale
            squares[1, d] = (j + d - np.float32(0.5) - y) ** 2 * scale
            squares[2, d] = (k + d - np.float32(0.5) - z) ** 2 * scale
        for dk in range(3):
            for di in range(3):
                for dj in range(3):
                    cost = squares[0, di] + squares[1, dj] + squares[2, dk]
                    if cost < 255:
                        old = field.cost[k + dk - 1, i + di - 1, j + dj - 1]
                        field.cost[k + dk - 1, i + di - 1, j + dj - 1] = min(old, np.uint8(cost))


@kernel
def search_translations(
    field: CostField,
    x: NDArray[np.float32],
    count: int,
    centre: NDArray[np.float32],
    score: NDArray[np.int32],
    hypotheses: NDArray[np.float32],
) -> int:
    """The best few horizontal translations of a cluster onto the target.

        H(i, j) = sum_p min(1, (d_p / 0.4)^2) + 0.01 P sqrt(i^2 + j^2) / 12

    Args:
        field: ``CostField`` of the target.
        x: (3, >= count) float32, sample of the cluster; x, y relative to ``centre`` (2,).
        score: (2 reach + 1, 2 reach + 1) int32, scratch.
        hypotheses: (>= MAX_HYPOTHESES, 2) float32, written: translations in metres, best first.

    Returns:
        How many were written: distinct minima with H <= 1.6 H_min + 0.03 P.
    """
    reach = field.reach
    width = 2 * reach + 1
    score[:] = 0
    per_step = np.float32(1.0 / STEP)
    layers = field.cost.shape[0]
    for p in range(count):
        i = int((x[0, p] + centre[0] - field.lower[0]) * per_step) - reach
        j = int((x[1, p] + centre[1] - field.lower[1]) * per_step) - reach
        k = int((x[2, p] - field.lower[2]) * per_step)
        if k >= layers:  # above the target's highest point
            score[:] += 255
            continue
        for a in range(width):
            patch = field.cost[k, i + a, j : j + width]
            line = score[a]
            for b in range(width):
                line[b] += np.int32(patch[b])
    for a in range(width):
        for b in range(width):
            length = np.sqrt(float((a - reach) ** 2 + (b - reach) ** 2))
            score[a, b] += np.int32(255.0 * _LENGTH_COST * count * length / 12.0)
    found = 0
    limit = 0.0
    while found < MAX_HYPOTHESES:
        best, best_a, best_b = score[0, 0], 0, 0
        for a in range(width):
            for b in range(width):
                if score[a, b] < best:
                    best, best_a, best_b = score[a, b], a, b
        if found == 0:
            limit = 1.6 * best + 0.03 * 255.0 * count
        if best > limit:
            break
        hypotheses[found, 0] = (best_a - reach) * STEP
        hypotheses[found, 1] = (best_b - reach) * STEP
        found += 1
        for a in range(max(best_a - 1, 0), min(best_a + 2, width)):
            for b in range(max(best_b - 1, 0), min(best_b + 2, width)):
                score[a, b] = np.int32(2**30)
    return found


@kernel
def slides(source: VoxelGrid, target: VoxelGrid, voxels: NDArray[np.int32]) -> bool:
    """Whether a matched cluster matches better when it slides a little: slow, overlapping movers.

    Four steps of robust translation between voxel centroids, weight (0.02 / (0.02 + d^2))^2,
    cost min(0.09, d^2), no neighbour: 0.09. It slides if it moved more than 3 cm and the cost
    fell below 0.95 of the first.

    Args:
        source, target: ``VoxelGrid`` with the same corner.
        voxels: (n,) int32, the cluster's voxels in ``source``; fewer than 6 never slide.
    """
    if len(voxels) < 6:
        return False
    tx = ty = 0.0
    first_cost = cost = 0.0
    per_edge = 1.0 / EDGE
    for step in range(4):
        cost = weights = sum_x = sum_y = 0.0
        for v in voxels:
            x = source.centroid[v, 0] + tx
            y = source.centroid[v, 1] + ty
            z = source.centroid[v, 2]
            i = int(np.floor((x - source.lower[0]) * per_edge))
            j = int(np.floor((y - source.lower[1]) * per_edge))
            best = np.inf
            ex = ey = 0.0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    begin, end = column_range(target, i + di, j + dj, source.cell[v, 2], 1)
                    for w in range(begin, end):
                        dx = target.centroid[w, 0] - x
                        dy = target.centroid[w, 1] - y
                        dz = target.centroid[w, 2] - z
                        square = dx * dx + dy * dy + dz * dz
                        if square < best:
                            best, ex, ey = square, dx, dy
            cost += min(0.09, best)
            if best < np.inf:
                weight = (0.02 / (0.02 + best)) ** 2
                weights += weight
                sum_x += weight * ex
                sum_y += weight * ey
        if step == 0:
            first_cost = cost
        if weights < 3.0 or step == 3:
            break
        tx += sum_x / weights
        ty += sum_y / weights
    return np.hypot(tx, ty) > 0.03 and cost < 0.95 * first_cost


@kernel
def time_between_sightings(
    sample: Sample,
    box: NDArray[np.float32],
    centre: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> float:
    """Mean time between both sightings of the cluster, in fractions of T, if it moved by ``shift``.

    The search compares clouds as captured: a beam may meet the body earlier or later in the
    second sweep than in the first. 1 where that is unknown, or would be below 0.4.
    """
    grow = 0.2
    total = 0.0
    count = 0
    for j in range(sample.size[1]):
        x = sample.y[0, j] + centre[0] - shift[0]
        y = sample.y[1, j] + centre[1] - shift[1]
        z = sample.y[2, j]
        if (
            box[0, 0] - grow <= x <= box[1, 0] + grow
            and box[0, 1] - grow <= y <= box[1, 1] + grow
            and box[0, 2] - grow <= z <= box[1, 2] + grow
        ):
            total += sample.y_time[j]
            count += 1
    if count == 0:
        return 1.0
    own = 0.0
    for i in range(sample.size[0]):
        own += sample.x_time[i]
    between = 1.0 + total / count - own / sample.size[0]
    return between if between >= 0.4 else 1.0
