"""Rigid registration of one cluster: robust point-to-point ICP, then generalised ICP.

The unknowns are q = (t_x, t_y, t_z, psi): translation of the body over the interval T, and yaw
about the cluster's centre c. Both clouds are brought to the target's stamp (times as fractions
of T, see ``Sample``):

    x^ = R(psi)(x - c) + t (1 - s/T)        y^ = y - c - t u/T   (x and y only)

so that a body seen by several beams, or at different moments of a rotating lidar's sweep, is in
one place. Velocity along z and yaw rate are not worth their freedom over 0.1 s: priors pull both
towards zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.covariance import covariances
from ssl_perception.flow.rigid.matching import Matching, match, move
from ssl_perception.flow.rigid.sampling import Sample
from ssl_perception.runtime.numba_kernel import kernel

TAU = 0.5  # m, pairs farther apart are dropped
ITERATIONS = 12
SIGMA, NARROW_SIGMA = 0.25, 0.125  # m, of the robust weight ...
WIDE = 3  # ... the wide one for so many iterations
GICP_TAU = 0.4  # m
SURFACES = 2.0  # m: longer clusters, vehicles, consist of surfaces
_SAME_SHIFT, _SAME_TURN = 0.02, 0.01  # m, rad


@kernel
def solve4(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Solve the symmetric positive definite 4 x 4 system a d = b in place; d ends in ``b``."""
    for col in range(4):
        pivot = 1.0 / a[col, col]
        for row in range(col + 1, 4):
            factor = a[row, col] * pivot
            for k in range(col, 4):
                a[row, k] -= factor * a[col, k]
            b[row] -= factor * b[col]
    for row in range(3, -1, -1):
        for k in range(row + 1, 4):
            b[row] -= a[row, k] * b[k]
        b[row] /= a[row, row]


@kernel
def _add_point_pair(
    sample: Sample,
    matching: Matching,
    q: NDArray[np.float64],
    i: int,
    j: int,
    square: float,
    weight: float,
    sigma_square: float,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
) -> float:
    """Add one pair to the normal equations of the point-to-point cost; returns its weight k.

    e = y^ - x^, r = R(psi)(x - c), f = 1 + (u - s)/T, k = w (sigma^2 / (sigma^2 + d^2))^2;
    the Jacobian of x^ - y^ is J = [f 0 0 -r_y; 0 f 0 r_x; 0 0 1 0].
    """
    k = weight * (sigma_square / (sigma_square + square)) ** 2
    ex = float(matching.y[0, j]) - matching.x[0, i]
    ey = float(matching.y[1, j]) - matching.x[1, i]
    ez = float(matching.y[2, j]) - matching.x[2, i]
    rest = 1.0 - sample.x_time[i]
    f = rest + sample.y_time[j]
    rx = matching.x[0, i] - q[0] * rest
    ry = matching.x[1, i] - q[1] * rest
    a[0, 0] += k * f * f
    a[1, 1] += k * f * f
    a[2, 2] += k
    a[0, 3] -= k * f * ry
    a[1, 3] += k * f * rx
    a[3, 3] += k * (rx * rx + ry * ry)
    b[0] += k * f * ex
    b[1] += k * f * ey
    b[2] += k * ez
    b[3] += k * (rx * ey - ry * ex)
    return k


@kernel
def robust_icp(
    sample: Sample,
    matching: Matching,
    q: NDArray[np.float64],
    known: NDArray[np.float64],
    ahead: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
) -> tuple[int, int]:
    """Point-to-point ICP from ``q`` (4,), in place.

    Args:
        ahead: (ITERATIONS, 4) the steps from ``q``, where they were computed ahead; (0, 4): they
            are computed here.

    Returns:
        The number of iterations; and which of the solutions ``known`` (k, 4) it reached, where it
        stopped, since it would converge to the same; -1: none.
    """
    for iteration in range(ITERATIONS):
        if len(ahead) > 0:
            b[:] = ahead[iteration]
        else:
            _icp_step(sample, matching, q, SIGMA if iteration < WIDE else NARROW_SIGMA, a, b)
        for axis in range(4):
            q[axis] += b[axis]
        converged = b[0] * b[0] + b[1] * b[1] < 0.002**2
        if iteration >= WIDE or converged:
            for k in range(len(known)):
                if _same(q, known[k]):
                    return iteration + 1, k
        if converged:
            return iteration + 1, -1
    return ITERATIONS, -1


@kernel
def _icp_step(
    sample: Sample,
    matching: Matching,
    q: NDArray[np.float64],
    sigma: float,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
) -> None:
    """One step of point-to-point ICP from ``q`` (4,): d ends in ``b``.

    (sum k J'J + diag(1e-3, 1e-3, K, 0.5 K + 1e-3)) d = sum k J'e - (0, 0, K t_z, 0.5 K psi) with
    K = sum k + 1e-3. ``batched_icp`` does the same for many clusters at once.
    """
    m, n = sample.size[0], sample.size[1]
    backward_weight = sample.thinning[1] / sample.thinning[0]
    sigma_square = sigma**2
    move(sample, matching, q)
    match(matching, m, n)
    a[:] = 0.0
    b[:] = 0.0
    total = 1e-3
    for i in range(m):
        square = matching.forward_square[i]
        if square < TAU * TAU:
            total += _add_point_pair(
                sample, matching, q, i, matching.forward[i], square, 1.0, sigma_square, a, b
            )
    for j in range(n):
        square = matching.backward_square[j]
        if square < TAU * TAU:
            i = matching.backward[j]
            total += _add_point_pair(
                sample, matching, q, i, j, square, backward_weight, sigma_square, a, b
            )
    a[3, 0] = a[0, 3]
    a[3, 1] = a[1, 3]
    a[0, 0] += 1e-3
    a[1, 1] += 1e-3
    a[2, 2] += total
    a[3, 3] += 0.5 * total + 1e-3
    b[2] -= total * q[2]
    b[3] -= 0.5 * total * q[3]
    solve4(a, b)


@kernel
def _same(q: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two motions differ by little more than where ICP stops."""
    near = (q[0] - other[0]) ** 2 + (q[1] - other[1]) ** 2 < _SAME_SHIFT**2
    return near and abs(q[2] - other[2]) < _SAME_SHIFT and abs(q[3] - other[3]) < _SAME_TURN


@kernel
def _add_distribution_pair(
    sample: Sample,
    matching: Matching,
    q: NDArray[np.float64],
    i: int,
    j: int,
    weight: float,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
) -> float:
    """Add one pair to the normal equations of the GICP cost; returns its weight k.

    M = (C_x + C_y)^-1, k = w (9 / (9 + e'Me))^2; J as for points.
    """
    ex = float(matching.y[0, j]) - matching.x[0, i]
    ey = float(matching.y[1, j]) - matching.x[1, i]
    ez = float(matching.y[2, j]) - matching.x[2, i]
    cx, cy = matching.covariance_x[i], matching.covariance_y[j]
    xx, xy, xz = cx[0] + cy[0], cx[1] + cy[1], cx[2] + cy[2]
    yy, yz, zz = cx[3] + cy[3], cx[4] + cy[4], cx[5] + cy[5]
    m00, m01, m02 = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    m11, m12, m22 = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    scale = 1.0 / (xx * m00 + xy * m01 + xz * m02)
    m00, m01, m02 = m00 * scale, m01 * scale, m02 * scale
    m11, m12, m22 = m11 * scale, m12 * scale, m22 * scale
    gx = m00 * ex + m01 * ey + m02 * ez
    gy = m01 * ex + m11 * ey + m12 * ez
    gz = m02 * ex + m12 * ey + m22 * ez
    k = weight * (9.0 / (9.0 + ex * gx + ey * gy + ez * gz)) ** 2
    rest = 1.0 - sample.x_time[i]
    f = rest + sample.y_time[j]
    rx = matching.x[0, i] - q[0] * rest
    ry = matching.x[1, i] - q[1] * rest
    turn_x, turn_y = -m00 * ry + m01 * rx, -m01 * ry + m11 * rx  # M times J's yaw column
    a[0, 0] += k * f * f * m00
    a[0, 1] += k * f * f * m01
    a[0, 2] += k * f * m02
    a[0, 3] += k * f * turn_x
    a[1, 1] += k * f * f * m11
    a[1, 2] += k * f * m12
    a[1, 3] += k * f * turn_y
    a[2, 2] += k * m22
    a[2, 3] += k * (-m02 * ry + m12 * rx)
    a[3, 3] += k * (-ry * turn_x + rx * turn_y)
    b[0] += k * f * gx
    b[1] += k * f * gy
    b[2] += k * gz
    b[3] += k * (rx * gy - ry * gx)
    return k


@kernel
def generalised_icp(
    sample: Sample,
    matching: Matching,
    q: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
) -> int:
    """Distribution-to-distribution refinement of ``q`` (4,), in place; returns the iterations.

    Covariances are taken once, at the start; those of vehicles are of flat surfaces, see
    ``covariance``. With S = sum k:
    (sum k J'MJ + diag(.1 S, .1 S, 50 S, 50 S) + 1e-3 I) d = sum k J'Me - (0, 0, 50 S t_z, 50 S psi)
    """
    m, n = sample.size[0], sample.size[1]
    backward_weight = sample.thinning[1] / sample.thinning[0]
    move(sample, matching, q)
    surfaces = _extent(sample) > SURFACES
    covariances(matching.x, m, surfaces, matching.covariance_x)
    covariances(matching.y, n, surfaces, matching.covariance_y)
    for iteration in range(8):
        move(sample, matching, q)
        match(matching, m, n)
        a[:] = 0.0
        b[:] = 0.0
        total = 0.0
        for i in range(m):
            if matching.forward_square[i] < GICP_TAU**2:
                total += _add_distribution_pair(
                    sample, matching, q, i, matching.forward[i], 1.0, a, b
                )
        for j in range(n):
            if matching.backward_square[j] < GICP_TAU**2:
                total += _add_distribution_pair(
                    sample, matching, q, matching.backward[j], j, backward_weight, a, b
                )
        for row in range(4):
            for col in range(row):
                a[row, col] = a[col, row]
            a[row, row] += (0.1 if row < 2 else 50.0) * total + 1e-3
        b[2] -= 50.0 * total * q[2]
        b[3] -= 50.0 * total * q[3]
        solve4(a, b)
        for axis in range(4):
            q[axis] += b[axis]
        if b[0] * b[0] + b[1] * b[1] < 0.002**2:
            return iteration + 1
    return 8


@kernel
def _extent(sample: Sample) -> float:
    """The longer side of the sampled points' box along x and y, m."""
    m = sample.size[0]
    x, y = sample.x[0, :m], sample.x[1, :m]
    return float(max(x.max() - x.min(), y.max() - y.min()))
