"""How far one point cloud lies from another: truncated Chamfer distance and distance fields.

Both can be differentiated with respect to the points that move; neither builds an N x M matrix.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional

from ssl_perception.errors import InputError
from ssl_perception.runtime.deadline import NEVER, Deadline
from ssl_perception.runtime.numba_kernel import kernel

MAX_CELLS = 400_000_000  # of a distance field: 1.6 GB
PAIRS_AT_ONCE = 1 << 26  # distances held at a time in the exhaustive search: 256 MB
COLUMNS_AT_ONCE = 4096  # of a distance transform between two looks at the deadline: milliseconds
PLANES_AT_ONCE = 32


class NeighbourIndex:
    """Exact nearest neighbours in a fixed cloud: a k-d tree on the CPU, exhaustive on a GPU.

    Args:
        points: (M, 3), metres. Later changes to the tensor are not seen.
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points.detach()
        self._tree: cKDTree | None = None
        if points.device.type == "cpu":
            # Unbalanced trees build four times as fast; lidar points are spread well enough.
            self._tree = cKDTree(self.points.numpy(), balanced_tree=False, compact_nodes=False)

    def nearest(self, queries: Tensor, within: float = math.inf) -> Tensor:
        """(N,) int64: index of the nearest point to each query; M where none is nearer than
        ``within`` metres (on a GPU: the nearest all the same)."""
        if self._tree is not None:
            _, index = self._tree.query(queries.detach().numpy(), distance_upper_bound=within)
            return torch.from_numpy(index)
        rows = max(1, PAIRS_AT_ONCE // len(self.points))
        exact = "donot_use_mm_for_euclid_dist"  # the fast form loses centimetres at 50 m
        return torch.cat(
            [
                torch.cdist(part, self.points, compute_mode=exact).argmin(dim=1)
                for part in queries.detach().split(rows)
            ]
        )


def chamfer(
    moving: Tensor,
    fixed: Tensor,
    index: NeighbourIndex | None = None,
    truncation: float = math.inf,
) -> Tensor:
    """Two-sided squared Chamfer distance, truncated (NSFP, equation 3, and its code).

    ``mean_x d(x) + mean_y d(y)`` where ``d`` is the squared distance to the nearest point of the
    other cloud, and 0 where that is ``truncation`` or more (the point still counts in the mean).

    Args:
        moving: (N, 3), metres. The gradient flows to these.
        fixed: (M, 3), metres.
        index: of ``fixed``, when it was built before.
        truncation: squared metres. NSFP's code has 2, so that matches end at 1.41 m.

    Returns:
        Scalar, square metres.
    """
    index = index or NeighbourIndex(fixed)
    within = math.sqrt(truncation)
    forward = _squared(moving, fixed, index.nearest(moving, within), truncation)
    backward = _squared(fixed, moving, NeighbourIndex(moving).nearest(fixed, within), truncation)
    return forward + backward


def _squared(queries: Tensor, points: Tensor, nearest: Tensor, truncation: float) -> Tensor:
    found = torch.nonzero(nearest < len(points)).squeeze(1)
    squared = (queries[found] - points[nearest[found]]).square().sum(dim=1)
    return torch.where(squared < truncation, squared, 0.0).sum() / len(queries)


class DistanceField:
    """Distance to the nearest point of a cloud, on a grid, looked up trilinearly (FastNSF).

    The cell that each point rounds to is occupied; the Euclidean distance of every grid vertex to
    the nearest occupied one is exact. Queries outside the box are moved to its border.

    Args:
        points: (M, 3), metres.
        low, high: (3,) corners of the box that must be covered, metres; one cell more is added on
            each side.
        cell: edge of a cell, metres.
        deadline: looked at all along.

    Raises:
        InputError: the box would need more than ``MAX_CELLS`` cells.
        DeadlinePassed: time is up; a part of a field is of no use.
    """

    def __init__(
        self, points: Tensor, low: Tensor, high: Tensor, cell: float, deadline: Deadline = NEVER
    ) -> None:
        corner = torch.floor(low.double() / cell - 1.0)
        shape = torch.ceil(high.double() / cell + 1.0) - corner + 2.0
        count = float(shape.prod())
        if count > MAX_CELLS:
            size = " x ".join(f"{s * cell:.0f}" for s in shape.tolist())
            raise InputError(
                f"the clouds span {size} m: {count / 1e6:.0f} million cells of {cell} m, more "
                f"than {MAX_CELLS // 1_000_000} million; crop them or take larger cells"
            )
        deadline.check()
        self.cell = cell
        self.corner = (corner * cell).to(points.dtype)
        self.shape: tuple[int, int, int] = tuple(int(s) for s in shape.tolist())  # type: ignore[assignment]
        occupied = torch.round((points.detach() - self.corner) / cell).long()
        squared = torch.full(self.shape, math.inf, dtype=torch.float32, device=points.device)
        squared[occupied[:, 0], occupied[:, 1], occupied[:, 2]] = 0.0
        if points.device.type == "cpu":
            squared_distance_transform(squared.numpy(), deadline)
        else:
            squared_distance_transform_on_gpu(squared, deadline)
        for planes in squared.split(PLANES_AT_ONCE):
            deadline.check()
            planes.sqrt_().mul_(cell)
        self.values = squared.to(points.dtype)
        last = torch.tensor(self.shape, dtype=points.dtype, device=points.device) - 1.0
        self._last, self._scale = last, 2.0 / last

    def lookup(self, queries: Tensor) -> Tensor:
        """(N,) distance of (N, 3) queries, metres; differentiable with respect to the queries."""
        place = ((queries - self.corner) / self.cell).clamp_min(0.0).minimum(self._last)
        place = (place * self._scale - 1.0).flip(1)  # grid_sample wants the last axis first
        field = self.values[None, None]
        return functional.grid_sample(
            field, place[None, :, None, None, :], mode="bilinear", align_corners=True
        ).view(-1)


def squared_distance_transform(squared: NDArray[np.float32], deadline: Deadline = NEVER) -> None:
    """Exact squared Euclidean distance transform in cells, in place, on the CPU.

    Felzenszwalb and Huttenlocher (2012): the lower envelope of parabolas along one axis after the
    other, linear in the number of cells.

    Args:
        squared: (X, Y, Z), C order; 0 where occupied, infinite elsewhere. Becomes the squared
            distance to the nearest occupied cell.
        deadline: looked at between parts.

    Raises:
        DeadlinePassed: time is up; the array is then half done.
    """
    x, y, z = squared.shape
    for plane in squared:
        deadline.check()
        _along_last_axis(plane)
        _along_first_axis(plane, 0, z)
    whole = squared.reshape(x, y * z)
    for first in range(0, y * z, COLUMNS_AT_ONCE):
        deadline.check()
        _along_first_axis(whole, first, min(first + COLUMNS_AT_ONCE, y * z))


@kernel
def _along_last_axis(lines: NDArray[np.float32]) -> None:
    """From occupancy to squared distance within each line: one sweep up, one down."""
    count, length = lines.shape
    for k in range(count):
        since = np.float32(np.inf)
        for i in range(length):
            since = np.float32(0.0) if lines[k, i] == 0.0 else since + np.float32(1.0)
            lines[k, i] = since
        if since == np.inf:
            continue
        until = np.float32(np.inf)
        for i in range(length - 1, -1, -1):
            until = min(lines[k, i], until + np.float32(1.0))
            lines[k, i] = until * until


@kernel
def _along_first_axis(plane: NDArray[np.float32], begin: int, end: int) -> None:
    """``plane[i, c] = min_j plane[j, c] + (i - j)^2``, begin <= c < end, 16 columns at a time."""
    length = len(plane)
    width = 16  # floats in a cache line
    tile = np.empty((width, length), np.float32)
    centre = np.empty(length, np.int64)  # of the parabolas in the envelope
    height = np.empty(length, np.float32)
    start = np.empty(length + 1, np.float32)  # where each takes over
    for first in range(begin, end, width):
        here = min(width, end - first)
        for i in range(length):
            for c in range(here):
                tile[c, i] = plane[i, first + c]
        for c in range(here):
            top = -1
            for j in range(length):
                value = tile[c, j]
                if value == np.inf:
                    continue
                cross = np.float32(-np.inf)
                while top >= 0:
                    i = centre[top]
                    cross = ((value - height[top]) + np.float32((j - i) * (j + i))) / np.float32(
                        2 * (j - i)
                    )
                    if cross > start[top]:
                        break
                    top -= 1
                if top < 0:
                    cross = np.float32(-np.inf)
                top += 1
                centre[top] = j
                height[top] = value
                start[top] = cross
            if top < 0:
                continue
            start[top + 1] = np.float32(np.inf)
            k = 0
            for i in range(length):
                while start[k + 1] < i:
                    k += 1
                step = np.float32(i - centre[k])
                tile[c, i] = step * step + height[k]
        for i in range(length):
            for c in range(here):
                plane[i, first + c] = tile[c, i]


def squared_distance_transform_on_gpu(squared: Tensor, deadline: Deadline = NEVER) -> None:
    """The same in PyTorch, for any device: shifted minima along each axis, until none can gain.

    A line without an occupied cell stays infinite on its own axis: it says nothing about when the
    others are done.
    """
    for axis in range(3):
        source = squared.clone()
        reached = torch.isfinite(source).any(dim=axis, keepdim=True)
        for step in range(1, squared.shape[axis]):
            if step % 16 == 0:
                deadline.check()
                if step * step >= float(torch.where(reached, squared, 0.0).max()):
                    break
            length = squared.shape[axis] - step
            for here, there in ((0, step), (step, 0)):
                into = squared.narrow(axis, here, length)
                torch.minimum(
                    into, source.narrow(axis, there, length) + float(step * step), out=into
                )
