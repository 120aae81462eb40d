"""Propagation: fragments take the motion of the body beside them (a mirror, a truck's end)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.components import Components
from ssl_perception.flow.rigid.voxel_grid import EDGE, VoxelGrid, column_range
from ssl_perception.runtime.numba_kernel import kernel

STATIC, REGISTERED, PROPAGATED = 0, 1, 2
MAX_POINTS = 120
_GROW = 0.8  # m
_CAP = 0.25  # m^2


@kernel
def misfit(
    source: VoxelGrid,
    source_points: NDArray[np.float32],
    target: VoxelGrid,
    target_points: NDArray[np.float32],
    voxels: NDArray[np.int32],
    count: int,
    motion: NDArray[np.float64],
    pivot: NDArray[np.float32],
) -> float:
    """Mean of min(d^2, 0.25) from a cluster's moved points to the target's points.

    Every max(1, count // 24)-th of its ``count`` points is taken. ``motion`` (4,), ``pivot`` (2,).
    """
    stride = max(1, count // 24)
    cos, sin = np.cos(motion[3]), np.sin(motion[3])
    reach = int(np.ceil(np.sqrt(_CAP) / EDGE))
    total = 0.0
    taken = at = 0
    for v in voxels:
        for a in range(source.first[v], source.first[v + 1]):
            at += 1
            if (at - 1) % stride != 0:
                continue
            p = source.order[a]
            rx, ry = source_points[p, 0] - pivot[0], source_points[p, 1] - pivot[1]
            x = cos * rx - sin * ry + pivot[0] + motion[0]
            y = sin * rx + cos * ry + pivot[1] + motion[1]
            z = source_points[p, 2] + motion[2]
            i = int(np.floor((x - target.lower[0]) / EDGE))
            j = int(np.floor((y - target.lower[1]) / EDGE))
            k = int(np.floor((z - target.lower[2]) / EDGE))
            best = _CAP
            for di in range(-reach, reach + 1):
                for dj in range(-reach, reach + 1):
                    begin, end = column_range(target, i + di, j + dj, k, reach)
                    if begin == end:
                        continue
                    for b in range(target.first[begin], target.first[end]):
                        t = target.order[b]
                        square = (
                            (target_points[t, 0] - x) ** 2
                            + (target_points[t, 1] - y) ** 2
                            + (target_points[t, 2] - z) ** 2
                        )
                        best = min(best, square)
            total += best
            taken += 1
    return total / max(taken, 1)


@kernel
def propagate(
    source: VoxelGrid,
    source_points: NDArray[np.float32],
    target: VoxelGrid,
    target_points: NDArray[np.float32],
    parts: Components,
    state: NDArray[np.int8],
    motion: NDArray[np.float64],
    pivot: NDArray[np.float32],
) -> None:
    """Let small clusters take the motion of a registered one of twice their size beside them.

    Args:
        parts: ``Components`` of the source.
        state: (K,) int8, STATIC, REGISTERED or PROPAGATED; updated in the order of labels.
        motion: (K, 4) float64 and pivot: (K, 2) float32; updated likewise.
    """
    for c in range(parts.size[0]):
        count = parts.points[c]
        if count > MAX_POINTS:
            continue
        best = np.inf
        donor = own = -1.0
        for other in range(parts.size[0]):
            if state[other] != REGISTERED or other == c or parts.points[other] < count:
                continue
            near = True
            for axis in range(3):
                near = (
                    near
                    and parts.box[other, 0, axis] - _GROW <= parts.box[c, 1, axis] + _GROW
                    and parts.box[c, 0, axis] - _GROW <= parts.box[other, 1, axis] + _GROW
                )
            if not near:
                continue
            voxels = parts.order[parts.begin[c] : parts.end[c]]
            if own < 0.0:
                own = misfit(
                    source, source_points, target, target_points, voxels, count, motion[c], pivot[c]
                )
            score = misfit(
                source,
                source_points,
                target,
                target_points,
                voxels,
                count,
                motion[other],
                pivot[other],
            )
            if score < best:
                best, donor = score, other
        if donor < 0:
            continue
        if best < (0.7 * own if state[c] == STATIC else 1.5 * own + 0.012):
            taken = int(donor)
            motion[c] = motion[taken]
            pivot[c] = pivot[taken]
            state[c] = PROPAGATED
