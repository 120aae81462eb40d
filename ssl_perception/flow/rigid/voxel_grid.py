"""Points sorted into cubes, with constant-time look-up and no cap on height.

A column of cubes is a string of bits, one per layer, in 64-bit words. Beside each word stands its
rank: the number of occupied cubes before it. So a cube's number is the rank of its word plus the
bits set below it, and cubes are numbered in the order of their indices (i, j, k), whatever the
order of the points. Neighbours within a column, and columns along j, have consecutive numbers: a
neighbourhood is a few short ranges rather than hundreds of look-ups, and empty space costs one
word per 12.8 m of height.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.numba_kernel import kernel

EDGE = 0.2  # m
LAYERS_PER_WORD = 64
MAX_WORDS = 4  # 51.2 m of height
PAD = 4  # empty cells around everything, so that neighbourhoods need no bounds checks
_FIXED_POINT = 65536.0  # sums of 1/65536 m are exact: centroids don't depend on the points' order


class VoxelGrid(NamedTuple):
    """One cloud in a grid. V occupied voxels, N points of which N' lie inside.

    Attributes:
        lower: (3,) float32, the corner of cell (0, 0, 0), metres.
        occupied: (I, J, W) uint64, bit k % 64 of word k // 64 is cell (i, j, k).
        rank: (I, J, W) int32, occupied cells before this word.
        cell: (V, 3) int32, indices (i, j, k), ascending.
        centroid: (V, 3) float32, mean of the voxel's points, metres.
        first: (V + 1,) int32, the points of voxel v are ``order[first[v]:first[v + 1]]``.
        order: (N',) int32, point numbers sorted by voxel, within a voxel by x, y, z.
        representative: (V,) int32, the point nearest to the centroid.
        voxel: (N,) int32, voxel of each point; -1 outside.
    """

    lower: NDArray[np.float32]
    occupied: NDArray[np.uint64]
    rank: NDArray[np.int32]
    cell: NDArray[np.int32]
    centroid: NDArray[np.float32]
    first: NDArray[np.int32]
    order: NDArray[np.int32]
    representative: NDArray[np.int32]
    voxel: NDArray[np.int32]


def local_points(
    points: NDArray[np.float32], origin: NDArray[np.float32], workspace: Workspace, name: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 3) points counted from ``origin``, and their lower and upper corner (2, 3)."""
    local = workspace.array(f"{name}.local", points.shape, np.float32)
    corners = np.empty((2, 3), np.float32)
    _shift(np.ascontiguousarray(points), origin, local, corners)
    return local, corners


def grid_bounds(
    corners: NDArray[np.float32], middle: float, max_range: float, margin: float
) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
    """Lower corner (3,) and shape (I, J, W) of the grid that holds both clouds.

    Horizontally it ends ``margin`` beyond ``max_range``, or where the points end. Vertically it
    holds all points, up to 51 m about the height ``middle``. Corners are multiples of the edge.

    Args:
        corners: (2, 3), lower and upper corner of all points.
    """
    reach = max_range + margin
    low, high = corners.astype(np.float64)
    low[:2] = np.clip(low[:2], -reach, reach)
    high[:2] = np.clip(high[:2], -reach, reach)
    tallest = (MAX_WORDS * LAYERS_PER_WORD - 2 * PAD - 1) * EDGE
    if high[2] - low[2] > tallest:
        low[2] = max(low[2], middle - tallest / 2)
        high[2] = min(high[2], low[2] + tallest)
    first = np.floor(low / EDGE).astype(np.int64) - PAD
    cells = np.floor(high / EDGE).astype(np.int64) + PAD + 1 - first
    words = -(-int(cells[2]) // LAYERS_PER_WORD)
    return (first * EDGE).astype(np.float32), (int(cells[0]), int(cells[1]), words)


def voxel_grid(
    points: NDArray[np.float32],
    lower: NDArray[np.float32],
    shape: tuple[int, int, int],
    max_range: float,
    workspace: Workspace,
    name: str,
) -> VoxelGrid:
    """Sort (N, 3) points with |x|, |y| <= max_range into voxels. O(N + cells / 64)."""
    n = len(points)
    occupied = workspace.array(f"{name}.occupied", shape, np.uint64)
    rank = workspace.array(f"{name}.rank", shape, np.int32)
    place = workspace.array(f"{name}.place", (n, 2), np.int32)
    voxel = workspace.array(f"{name}.voxel", (n,), np.int32)
    cells = int(_mark(points, lower, np.float32(max_range), occupied, rank, place))
    cell = workspace.array(f"{name}.cell", (cells, 3), np.int32)
    centroid = workspace.array(f"{name}.centroid", (cells, 3), np.float32)
    first = workspace.array(f"{name}.first", (cells + 1,), np.int32)
    order = workspace.array(f"{name}.order", (n,), np.int32)
    representative = workspace.array(f"{name}.representative", (cells,), np.int32)
    sums = workspace.array(f"{name}.sums", (cells, 3), np.int64)
    inside = _gather(
        points, occupied, rank, place, voxel, sums, cell, centroid, first, order, representative
    )
    return VoxelGrid(
        lower, occupied, rank, cell, centroid, first, order[:inside], representative, voxel
    )


@kernel
def _shift(
    points: NDArray[np.float32],
    origin: NDArray[np.float32],
    local: NDArray[np.float32],
    corners: NDArray[np.float32],
) -> None:
    """local = points - origin, and its bounds; one pass."""
    corners[0] = np.float32(np.inf)
    corners[1] = np.float32(-np.inf)
    for p in range(len(points)):
        for axis in range(3):
            value = points[p, axis] - origin[axis]
            local[p, axis] = value
            corners[0, axis] = min(corners[0, axis], value)
            corners[1, axis] = max(corners[1, axis], value)


@kernel
def popcount(word: np.uint64) -> np.int64:
    """Number of set bits of a uint64 (one instruction once compiled)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def rank_of(occupied: NDArray[np.uint64], rank: NDArray[np.int32], i: int, j: int, k: int) -> int:
    """Number of occupied cells before (i, j, k); that cell's own number if it is occupied."""
    word = k >> 6
    below = (np.uint64(1) << np.uint64(k & 63)) - np.uint64(1)
    return rank[i, j, word] + popcount(occupied[i, j, word] & below)


@kernel
def column_range(grid: VoxelGrid, i: int, j: int, k: int, reach: int) -> tuple[int, int]:
    """Voxels of column (i, j) in layers k - reach … k + reach, as a range (begin, end).

    Indices are clipped to the grid; a column outside gives an empty range.
    """
    if i < 0 or j < 0 or i >= grid.occupied.shape[0] or j >= grid.occupied.shape[1]:
        return 0, 0
    layers = grid.occupied.shape[2] << 6
    low = min(max(k - reach, 0), layers - 1)
    high = min(max(k + reach + 1, 0), layers - 1)  # the top layer is padding: always empty
    if high <= low:
        return 0, 0
    if low >> 6 == high >> 6 and grid.occupied[i, j, low >> 6] == np.uint64(0):
        return 0, 0
    begin = rank_of(grid.occupied, grid.rank, i, j, low)
    return begin, rank_of(grid.occupied, grid.rank, i, j, high)


@kernel
def _mark(
    points: NDArray[np.float32],
    lower: NDArray[np.float32],
    max_range: np.float32,
    occupied: NDArray[np.uint64],
    rank: NDArray[np.int32],
    place: NDArray[np.int32],
) -> np.int64:
    """Set the bit of each point's cell, then count: returns the number of occupied cells.

    ``place`` (N, 2) int32 keeps (column, layer) of each point; column -1 outside.
    """
    columns_i, columns_j, words = occupied.shape
    flat = occupied.reshape(columns_i * columns_j, words)
    flat_rank = rank.reshape(columns_i * columns_j, words)
    flat[:] = np.uint64(0)
    per_edge = np.float32(1.0 / EDGE)
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        i = int(np.floor((x - lower[0]) * per_edge))
        j = int(np.floor((y - lower[1]) * per_edge))
        k = int(np.floor((z - lower[2]) * per_edge))
        inside = (
            abs(x) <= max_range
            and abs(y) <= max_range
            and PAD <= i < columns_i - PAD
            and PAD <= j < columns_j - PAD
            and PAD <= k < words * 64 - PAD
        )
        if inside:
            column = i * columns_j + j
            flat[column, k >> 6] |= np.uint64(1) << np.uint64(k & 63)
            place[p, 0] = column
            place[p, 1] = k
        else:
            place[p, 0] = -1
    total = np.int64(0)
    for column in range(columns_i * columns_j):
        for word in range(words):
            flat_rank[column, word] = total
            total += popcount(flat[column, word])
    return total


@kernel
def _gather(
    points: NDArray[np.float32],
    occupied: NDArray[np.uint64],
    rank: NDArray[np.int32],
    place: NDArray[np.int32],
    voxel: NDArray[np.int32],
    sums: NDArray[np.int64],
    cell: NDArray[np.int32],
    centroid: NDArray[np.float32],
    first: NDArray[np.int32],
    order: NDArray[np.int32],
    representative: NDArray[np.int32],
) -> int:
    """Number the voxels, average their points, list the points by voxel; returns how many."""
    columns_i, columns_j, words = occupied.shape
    flat = occupied.reshape(columns_i * columns_j, words)
    flat_rank = rank.reshape(columns_i * columns_j, words)
    sums[:] = 0
    first[:] = 0
    for p in range(len(points)):
        column, k = place[p, 0], place[p, 1]
        if column < 0:
            voxel[p] = -1
            continue
        below = (np.uint64(1) << np.uint64(k & 63)) - np.uint64(1)
        v = flat_rank[column, k >> 6] + popcount(flat[column, k >> 6] & below)
        voxel[p] = v
        cell[v, 0] = column // columns_j
        cell[v, 1] = column % columns_j
        cell[v, 2] = k
        first[v + 1] += 1
        for axis in range(3):
            sums[v, axis] += np.int64(np.rint(points[p, axis] * _FIXED_POINT))
    for v in range(len(cell)):
        for axis in range(3):
            centroid[v, axis] = sums[v, axis] / (_FIXED_POINT * first[v + 1])
        first[v + 1] += first[v]
        representative[v] = -1
    for p in range(len(points)):
        v = voxel[p]
        if v < 0:
            continue
        order[first[v]] = p
        first[v] += 1
        best = representative[v]
        if best < 0 or _nearer(points, p, best, centroid[v]):
            representative[v] = p
    for v in range(len(cell) - 1, -1, -1):  # undo the shift that filling made
        first[v + 1] = first[v]
    first[0] = 0
    for v in range(len(cell)):
        _sort(points, order[first[v] : first[v + 1]])
    return first[len(cell)]


@kernel
def _nearer(points: NDArray[np.float32], p: int, q: int, centre: NDArray[np.float32]) -> bool:
    """Whether p is nearer to ``centre`` than q; the smaller coordinates break a tie."""
    dp = np.float32(0.0)
    dq = np.float32(0.0)
    for axis in range(3):
        dp += (points[p, axis] - centre[axis]) ** 2
        dq += (points[q, axis] - centre[axis]) ** 2
    if dp == dq:
        return _before(points, p, q)
    return bool(dp < dq)


@kernel
def _before(points: NDArray[np.float32], p: int, q: int) -> bool:
    """Whether point p comes before q in lexicographic order of x, y, z."""
    for axis in range(3):
        if points[p, axis] != points[q, axis]:
            return points[p, axis] < points[q, axis]
    return False


@kernel
def _sort(points: NDArray[np.float32], chosen: NDArray[np.int32]) -> None:
    """Put the point numbers ``chosen`` into lexicographic order (few: insertion sort)."""
    for a in range(1, len(chosen)):
        p = chosen[a]
        b = a - 1
        while b >= 0 and _before(points, p, chosen[b]):
            chosen[b + 1] = chosen[b]
            b -= 1
        chosen[b + 1] = p
