"""Static unless a cluster earns its motion: the energy, and what it must gain."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ssl_perception.flow.rigid.registration import TAU, Matching, match, move
from ssl_perception.flow.rigid.sampling import Sample
from ssl_perception.flow.rigid.visibility import RangeImage, occluded

_HIDDEN_COST = 0.25  # most that a point costs which the target couldn't see
_LENGTH_COST = 0.003  # per metre and point
MIN_LENGTH = 0.05  # m, shorter motions are noise


@njit(cache=True, nogil=True)
def energy(
    sample: Sample,
    matching: Matching,
    q: NDArray[np.float64],
    centre: NDArray[np.float32],
    image: RangeImage,
) -> tuple[float, float]:
    """Energy E and its forward part F of motion ``q`` (4,).

        F = sum_i min(1, d_i^2 / tau^2), at most 0.25 where the moved point is hidden
        E = F + w_b sum_{j novel} min(1, d_j^2 / tau^2) + 0.003 m |t_xy|

    Args:
        sample, matching: see there; ``matching`` is overwritten.
        centre: (2,) float32, the sample's horizontal zero.
        image: ``RangeImage`` of the target.
    """
    m, n = sample.size[0], sample.size[1]
    move(sample, matching, q)
    match(matching, m, n)
    per_square = 1.0 / (TAU * TAU)
    cos, sin = np.float32(np.cos(q[3])), np.float32(np.sin(q[3]))
    forward = 0.0
    for i in range(m):
        cost = min(1.0, matching.forward_square[i] * per_square)
        if cost > _HIDDEN_COST:
            x = cos * sample.x[0, i] - sin * sample.x[1, i] + np.float32(q[0]) + centre[0]
            y = sin * sample.x[0, i] + cos * sample.x[1, i] + np.float32(q[1]) + centre[1]
            if occluded(image, x, y, sample.x[2, i] + np.float32(q[2])):
                cost = _HIDDEN_COST
        forward += cost
    backward = 0.0
    for j in range(n):
        if sample.novel[j]:
            backward += min(1.0, matching.backward_square[j] * per_square)
    length = np.hypot(q[0], q[1])
    total = forward + backward * sample.thinning[1] / sample.thinning[0] + _LENGTH_COST * m * length
    return total, forward


@njit(cache=True, nogil=True)
def earns_motion(
    m: int,
    length: float,
    moved: float,
    moved_forward: float,
    still: float,
    still_forward: float,
    active: bool,
) -> bool:
    """Whether a motion explains enough more than standing still.

    Args:
        m: points in the sample. length: of the motion, horizontally, metres.
        moved, moved_forward: E and F of the motion. still, still_forward: of no motion.
        active: the cluster has unmatched voxels of its own.
    """
    if length <= 0.04 or moved >= (0.75 if active else 0.70) * still:
        return False
    if (still - moved) / m <= 0.08 * min(1.0, (length / TAU) ** 2):
        return False
    return moved_forward / m < 0.5 and moved_forward / m < 0.9 * still_forward / m + 0.01
