"""Covariance of the surroundings of each point, the metric of generalised ICP.

Within a flat surface the covariance of the neighbours, taken as it is, says how far they reach, not
how far the surface does: points of one sweep's rings are pulled to those of the other's, which lie
where the beams are and not where the surface has moved to. On the long side of a car that outweighs
the few points at its ends. So, as in GICP (Segal et al., RSS 2009, section III.B), only the normal
direction keeps what was measured; the variance within the surface is a constant. It isn't as large
as theirs, since the ends of a side, which lie within it, are what shows the motion along it.
"""

from __future__ import annotations

from math import acos, cos, pi

import numpy as np
from numpy.typing import NDArray

from ssl_perception.runtime.numba_kernel import kernel

_NEIGHBOURHOOD = 0.5  # m
_NOISE = 4e-4  # m^2
_WITHIN_SURFACE = 0.16  # m^2


@kernel
def covariances(
    points: NDArray[np.float32], count: int, surfaces: bool, covariance: NDArray[np.float64]
) -> None:
    """Covariance of the neighbours within 0.5 m of each of ``points`` (3, count), + 4e-4 m^2 I.

    Fewer than five neighbours (the point itself counts): 0.02 m^2 I.

    Args:
        surfaces: keep the least variance alone; across it 0.16 m^2.
        covariance: (>= count, 6) xx xy xz yy yz zz, m^2, written.
    """
    for i in range(count):
        sx = sy = sz = sxx = sxy = sxz = syy = syz = szz = 0.0
        neighbours = 0
        for j in range(count):
            dx = float(points[0, j] - points[0, i])
            if abs(dx) >= _NEIGHBOURHOOD:
                continue
            dy = float(points[1, j] - points[1, i])
            dz = float(points[2, j] - points[2, i])
            if dx * dx + dy * dy + dz * dz < _NEIGHBOURHOOD**2:
                neighbours += 1
                sx += dx
                sy += dy
                sz += dz
                sxx += dx * dx
                sxy += dx * dy
                sxz += dx * dz
                syy += dy * dy
                syz += dy * dz
                szz += dz * dz
        if neighbours < 5:
            covariance[i, :] = 0.0
            covariance[i, 0] = covariance[i, 3] = covariance[i, 5] = 0.02
            continue
        w = 1.0 / neighbours
        sx, sy, sz = sx * w, sy * w, sz * w
        covariance[i, 0] = sxx * w - sx * sx + _NOISE
        covariance[i, 1] = sxy * w - sx * sy
        covariance[i, 2] = sxz * w - sx * sz
        covariance[i, 3] = syy * w - sy * sy + _NOISE
        covariance[i, 4] = syz * w - sy * sz
        covariance[i, 5] = szz * w - sz * sz + _NOISE
        if surfaces:
            _flatten(covariance[i])


@kernel
def _flatten(c: NDArray[np.float64]) -> None:
    """Replace C by v I - (v - l) n n', v = 0.16 m^2, l its least eigenvalue and n that one's
    vector; ``c`` (6,), in place. C stays as it is where no direction is the least."""
    xx, xy, xz, yy, yz, zz = c[0], c[1], c[2], c[3], c[4], c[5]
    # eigenvalues of a symmetric 3 x 3 matrix in closed form (Smith, CACM 1961)
    mean = (xx + yy + zz) / 3.0
    dx, dy, dz = xx - mean, yy - mean, zz - mean
    spread = np.sqrt((dx * dx + dy * dy + dz * dz + 2.0 * (xy * xy + xz * xz + yz * yz)) / 6.0)
    if spread < 1e-9:
        return
    determinant = (
        dx * (dy * dz - yz * yz) - xy * (xy * dz - yz * xz) + xz * (xy * yz - dy * xz)
    ) / spread**3
    angle = acos(min(max(0.5 * determinant, -1.0), 1.0)) / 3.0
    least = mean + 2.0 * spread * cos(angle + 2.0 * pi / 3.0)
    # n is at right angles to all rows of C - l I: the longest of their cross products
    nx = ny = nz = longest = 0.0
    xx, yy, zz = xx - least, yy - least, zz - least
    for ax, ay, az, bx, by, bz in (
        (xx, xy, xz, xy, yy, yz),
        (xx, xy, xz, xz, yz, zz),
        (xy, yy, yz, xz, yz, zz),
    ):
        px, py, pz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        square = px * px + py * py + pz * pz
        if square > longest:
            nx, ny, nz, longest = px, py, pz, square
    if longest < 1e-24:
        return
    less = (_WITHIN_SURFACE - least) / longest
    c[0] = _WITHIN_SURFACE - less * nx * nx
    c[1] = -less * nx * ny
    c[2] = -less * nx * nz
    c[3] = _WITHIN_SURFACE - less * ny * ny
    c[4] = -less * ny * nz
    c[5] = _WITHIN_SURFACE - less * nz * nz
