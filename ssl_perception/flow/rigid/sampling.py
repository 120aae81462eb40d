"""Sampled points of a cluster, and of the target within its reach."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.voxel_grid import EDGE, VoxelGrid
from ssl_perception.runtime.numba_kernel import kernel

MAX_SOURCE, MAX_TARGET = 256, 512  # for registration
FINE_SOURCE, FINE_TARGET = 1024, 1024  # for the acceptance of a large cluster
DENSE = 64  # voxels, from which one point per voxel is enough


class Sample(NamedTuple):
    """Points of one cluster (m) and of the target near it (n). Horizontal zero: the centre c.

    Times are fractions of the interval T between the two stamps, so that a body moving by t over
    T has moved by ``t * time`` at the moment the point was captured; 0 where unknown.

    Attributes:
        x: (3, M) float32, metres, room for M >= m.   x_time: (M,) float32, s / T.
        y: (3, N) float32, metres, room for N >= n.   y_time: (N,) float32, u / T.
        novel: (N,) bool, the target point is unexplained though the source would have seen it.
        foreign: (N,) bool, a static cluster of the source explains it.
        size: (2,) int64, m and n.
        thinning: (2,) float64, candidates per kept point, source and target, >= 1.
    """

    x: NDArray[np.float32]
    x_time: NDArray[np.float32]
    y: NDArray[np.float32]
    y_time: NDArray[np.float32]
    novel: NDArray[np.bool_]
    foreign: NDArray[np.bool_]
    size: NDArray[np.int64]
    thinning: NDArray[np.float64]


def empty_sample(source: int = MAX_SOURCE, target: int = MAX_TARGET) -> Sample:
    """Room for so many points of one cluster and of the target."""
    return Sample(
        np.zeros((3, source), np.float32),
        np.zeros(source, np.float32),
        np.zeros((3, target), np.float32),
        np.zeros(target, np.float32),
        np.zeros(target, np.bool_),
        np.zeros(target, np.bool_),
        np.zeros(2, np.int64),
        np.ones(2, np.float64),
    )


@kernel
def sample_source(
    sample: Sample,
    grid: VoxelGrid,
    points: NDArray[np.float32],
    time: NDArray[np.float32],
    voxels: NDArray[np.int32],
    dense: bool,
    centre: NDArray[np.float32],
) -> None:
    """Take as many points of the cluster as there is room for, at an even, fractional stride.

    Args:
        points, time: (N, 3) and (N,) float32; time in fractions of T.
        voxels: (n,) int32, the cluster's voxels.
        dense: take one point per voxel instead of all.
        centre: (2,) float32.
    """
    total = len(voxels)
    if not dense:
        total = 0
        for v in voxels:
            total += grid.first[v + 1] - grid.first[v]
    m = min(total, sample.x.shape[1])
    sample.size[0] = m
    sample.thinning[0] = total / m
    at = taken = 0
    for v in voxels:
        width = 1 if dense else grid.first[v + 1] - grid.first[v]
        while taken < m and (2 * taken + 1) * total // (2 * m) < at + width:
            pick = (2 * taken + 1) * total // (2 * m) - at
            p = grid.representative[v] if dense else grid.order[grid.first[v] + pick]
            sample.x[0, taken] = points[p, 0] - centre[0]
            sample.x[1, taken] = points[p, 1] - centre[1]
            sample.x[2, taken] = points[p, 2]
            sample.x_time[taken] = time[p]
            taken += 1
        at += width


@kernel
def sample_target(
    sample: Sample,
    grid: VoxelGrid,
    points: NDArray[np.float32],
    time: NDArray[np.float32],
    novel: NDArray[np.bool_],
    explained: NDArray[np.int32],
    label: NDArray[np.int32],
    state: NDArray[np.int8],
    c: int,
    box: NDArray[np.float32],
    grow_xy: float,
    grow_z: float,
    dense: bool,
    centre: NDArray[np.float32],
) -> None:
    """Take target points from the cluster's box, grown, at an even, fractional stride.

    Args:
        points, time: (M, 3) and (M,) float32; time in fractions of T.
        novel: (V,) bool per target voxel; explained: (V,) int32, the source voxel that explains
            it without motion, or -1; label: per source voxel; state: per cluster, 0
            static as far as is known; c: the cluster.
        box: (2, 3) float32, the cluster's corners. grow_xy, grow_z: metres.
        dense, centre: as for the source.
    """
    per_edge = 1.0 / EDGE
    low_i = max(int(np.floor((box[0, 0] - grow_xy - grid.lower[0]) * per_edge)), 0)
    low_j = max(int(np.floor((box[0, 1] - grow_xy - grid.lower[1]) * per_edge)), 0)
    high_i = min(
        int(np.floor((box[1, 0] + grow_xy - grid.lower[0]) * per_edge)), grid.rank.shape[0] - 2
    )
    high_j = min(
        int(np.floor((box[1, 1] + grow_xy - grid.lower[1]) * per_edge)), grid.rank.shape[1] - 2
    )
    total = n = 0
    for counting in (True, False):
        at = taken = 0
        for i in range(low_i, high_i + 1):
            for v in range(grid.rank[i, low_j, 0], grid.rank[i, high_j + 1, 0]):
                begin, end = grid.first[v], grid.first[v + 1]
                for a in range(begin, begin + 1 if dense else end):
                    p = grid.representative[v] if dense else grid.order[a]
                    inside = (
                        box[0, 0] - grow_xy <= points[p, 0] <= box[1, 0] + grow_xy
                        and box[0, 1] - grow_xy <= points[p, 1] <= box[1, 1] + grow_xy
                        and box[0, 2] - grow_z <= points[p, 2] <= box[1, 2] + grow_z
                    )
                    if not inside:
                        continue
                    if not counting and taken < n and (2 * taken + 1) * total // (2 * n) == at:
                        sample.y[0, taken] = points[p, 0] - centre[0]
                        sample.y[1, taken] = points[p, 1] - centre[1]
                        sample.y[2, taken] = points[p, 2]
                        sample.y_time[taken] = time[p]
                        sample.novel[taken] = novel[v]
                        owner = explained[v]
                        sample.foreign[taken] = (
                            owner >= 0 and label[owner] != c and state[label[owner]] == 0
                        )
                        taken += 1
                    at += 1
        if counting:
            total = at
            n = min(total, sample.y.shape[1])
    sample.size[1] = n
    sample.thinning[1] = total / max(n, 1)
