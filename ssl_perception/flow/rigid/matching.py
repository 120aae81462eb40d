"""Nearest neighbours between a cluster's points, moved, and the target's points near it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.sampling import MAX_SOURCE, MAX_TARGET, Sample
from ssl_perception.runtime.numba_kernel import kernel

_FAR = np.int32(0x7F000000)  # bits of a huge float32
_INDEX_BITS = np.int32(0x3FF)  # room for the numbers of 1024 points


class Matching(NamedTuple):
    """Both clouds at the target's stamp, and their nearest neighbours.

    Attributes:
        x: (3, M) float32.   y: (3, N) float32.
        forward: (M,) int32, nearest y of each x.   forward_square: (M,) float32, m^2.
        backward: (N,) int32, nearest x of each y.   backward_square: (N,) float32, m^2.
        row: (N,) float32 and row_bits: the same memory as int32; scratch.
        column: (N,) int32, scratch.
        covariance_x, covariance_y: (M | N, 6) float64: xx xy xz yy yz zz, m^2.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    forward: NDArray[np.int32]
    forward_square: NDArray[np.float32]
    backward: NDArray[np.int32]
    backward_square: NDArray[np.float32]
    row: NDArray[np.float32]
    row_bits: NDArray[np.int32]
    column: NDArray[np.int32]
    covariance_x: NDArray[np.float64]
    covariance_y: NDArray[np.float64]


def empty_matching(source: int = MAX_SOURCE, target: int = MAX_TARGET) -> Matching:
    """Room for so many points of one cluster and of the target."""
    row = np.zeros(target, np.float32)
    return Matching(
        np.zeros((3, source), np.float32),
        np.zeros((3, target), np.float32),
        np.zeros(source, np.int32),
        np.zeros(source, np.float32),
        np.zeros(target, np.int32),
        np.zeros(target, np.float32),
        row,
        row.view(np.int32),
        np.zeros(target, np.int32),
        np.zeros((source, 6)),
        np.zeros((target, 6)),
    )


@kernel
def move(sample: Sample, matching: Matching, q: NDArray[np.float64]) -> None:
    """Bring both clouds to the target's stamp under motion ``q`` (4,)."""
    cos, sin = np.float32(np.cos(q[3])), np.float32(np.sin(q[3]))
    tx, ty, tz = np.float32(q[0]), np.float32(q[1]), np.float32(q[2])
    for i in range(sample.size[0]):
        rest = np.float32(1.0) - sample.x_time[i]
        matching.x[0, i] = cos * sample.x[0, i] - sin * sample.x[1, i] + tx * rest
        matching.x[1, i] = sin * sample.x[0, i] + cos * sample.x[1, i] + ty * rest
        matching.x[2, i] = sample.x[2, i] + tz
    for j in range(sample.size[1]):
        matching.y[0, j] = sample.y[0, j] - tx * sample.y_time[j]
        matching.y[1, j] = sample.y[1, j] - ty * sample.y_time[j]
        matching.y[2, j] = sample.y[2, j]


@kernel
def match(matching: Matching, m: int, n: int) -> None:
    """Nearest neighbours both ways, exhaustively: m n distances, vectorised.

    The bits of a positive float sort like an integer; its lowest ten carry the partner's index,
    so one integer minimum finds distance and partner. Costs 2^-13 of the distance's precision in
    the choice, and breaks ties by the lowest index.
    """
    keep = ~_INDEX_BITS
    for j in range(n):
        matching.column[j] = _FAR
    for i in range(m):
        x, y, z = matching.x[0, i], matching.x[1, i], matching.x[2, i]
        for j in range(n):
            dx = matching.y[0, j] - x
            dy = matching.y[1, j] - y
            dz = matching.y[2, j] - z
            matching.row[j] = dx * dx + dy * dy + dz * dz
        best = np.int32(_FAR)
        for j in range(n):
            bits = matching.row_bits[j] & keep
            best = min(best, np.int32(bits | np.int32(j)))
            matching.column[j] = min(matching.column[j], np.int32(bits | np.int32(i)))
        matching.forward[i] = best & _INDEX_BITS
        matching.forward_square[i] = matching.row[best & _INDEX_BITS]
    for j in range(n):
        i = int(matching.column[j] & _INDEX_BITS)
        matching.backward[j] = i
        dx = matching.y[0, j] - matching.x[0, i]
        dy = matching.y[1, j] - matching.x[1, i]
        dz = matching.y[2, j] - matching.x[2, i]
        matching.backward_square[j] = dx * dx + dy * dy + dz * dz
