"""Acceptance of a motion: its energy, and what it must gain over no motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.matching import Matching, match, move
from ssl_perception.flow.rigid.registration import TAU
from ssl_perception.flow.rigid.sampling import Sample
from ssl_perception.flow.rigid.visibility import RangeImage, occluded
from ssl_perception.runtime.numba_kernel import kernel

_HIDDEN_COST = 0.25  # most that a point costs which the target couldn't see once moved ...
_HIDDEN_COST_STILL = 0.15  # ... and where it is, for no motion needs no proof
_FOREIGN_COST = 0.25  # least that a moved point costs on a static point of another cluster
_LENGTH_COST = 0.003  # per metre and point
MIN_LENGTH = 0.05  # m, shorter motions are noise
_MAX_ENERGY = 0.3  # per point: what is rigid fits well once it is moved rightly
_MIN_SIGNIFICANCE = 4.0  # of 264 large static clusters none reached 2.6


@kernel
def costs(
    sample: Sample,
    matching: Matching,
    q: NDArray[np.float64],
    centre: NDArray[np.float32],
    image: RangeImage,
    forward: NDArray[np.float32],
    backward: NDArray[np.float32],
) -> None:
    """What each sampled point costs under motion ``q`` (4,): min(1, d^2 / tau^2), with two limits.

    A source point that the target couldn't have seen where the motion puts it costs little. One
    that lands on a static point of another cluster explains nothing, and costs something.

    Args:
        sample, matching: see there; ``matching`` is overwritten.
        centre: (2,) float32, the sample's horizontal zero.
        image: ``RangeImage`` of the target.
        forward: (128,) written, per source point; backward: (256,) written, per novel target
            point, 0 for the others.
    """
    m, n = sample.size[0], sample.size[1]
    move(sample, matching, q)
    match(matching, m, n)
    per_square = np.float32(1.0 / (TAU * TAU))
    one = np.float32(1.0)
    cos, sin = np.float32(np.cos(q[3])), np.float32(np.sin(q[3]))
    moves = q[0] != 0.0 or q[1] != 0.0
    hidden_cost = np.float32(_HIDDEN_COST if moves else _HIDDEN_COST_STILL)
    for i in range(m):
        cost = min(one, matching.forward_square[i] * per_square)
        if moves and sample.foreign[matching.forward[i]]:
            cost = max(cost, np.float32(_FOREIGN_COST))
        if cost > hidden_cost:
            x = cos * sample.x[0, i] - sin * sample.x[1, i] + np.float32(q[0]) + centre[0]
            y = sin * sample.x[0, i] + cos * sample.x[1, i] + np.float32(q[1]) + centre[1]
            if occluded(image, x, y, sample.x[2, i] + np.float32(q[2])):
                cost = hidden_cost
        forward[i] = cost
    for j in range(n):
        cost = min(one, matching.backward_square[j] * per_square)
        backward[j] = cost if sample.novel[j] else np.float32(0.0)


@kernel
def energies(
    sample: Sample,
    count: int,
    candidate: NDArray[np.float64],
    forward: NDArray[np.float32],
    backward: NDArray[np.float32],
    energy: NDArray[np.float64],
) -> None:
    """Energy E and its forward part F per source point, of each of ``count`` candidate motions.

        F = sum_i c_i,   E = F + w_b sum_{j novel} c_j + 0.003 m |t_xy|

    Novel points that no candidate brings within reach belong to something else, and don't count.

    Args:
        candidate: (>= count, 4). forward, backward: (>= count, 128 | 256) as from ``costs``.
        energy: (>= count, 2) written: E / m, F / m.
    """
    m, n = sample.size[0], sample.size[1]
    for h in range(count):
        total = 0.0
        for i in range(m):
            total += forward[h, i]
        energy[h, 0] = total + _LENGTH_COST * m * np.hypot(candidate[h, 0], candidate[h, 1])
        energy[h, 1] = total / m
    weight = sample.thinning[1] / sample.thinning[0]
    for j in range(n):
        within_reach = False
        for h in range(count):
            within_reach = within_reach or backward[h, j] < np.float32(1.0)
        if within_reach:
            for h in range(count):
                energy[h, 0] += weight * backward[h, j]
    for h in range(count):
        energy[h, 0] /= m


@kernel
def significance(
    sample: Sample,
    still: NDArray[np.float32],
    moved: NDArray[np.float32],
    still_novel: NDArray[np.float32],
    moved_novel: NDArray[np.float32],
) -> float:
    """Significance of a motion over no motion: the statistic of a paired t-test.

        t = sum_i w_i g_i / sqrt(sum_i w_i^2 g_i^2),   g = cost of no motion - cost of the motion

    On a long flat side most points fit equally badly either way, which drowns the ratio of the
    energies; here they cancel, and the few points at its ends decide.

    Args:
        still, moved: (>= m,) cost per source point. still_novel, moved_novel: (>= n,) per target
            point, 0 where it isn't novel.
    """
    total = squares = 0.0
    for i in range(sample.size[0]):
        gain = still[i] - moved[i]
        total += gain
        squares += gain * gain
    weight = sample.thinning[1] / sample.thinning[0]
    for j in range(sample.size[1]):
        gain = weight * (still_novel[j] - moved_novel[j])
        total += gain
        squares += gain * gain
    return total / np.sqrt(squares + 1e-12)


@kernel
def large_earns_motion(
    length: float,
    moved: float,
    moved_forward: float,
    still: float,
    still_forward: float,
    significance: float,
) -> bool:
    """``earns_motion`` for a large cluster, judged on one point per voxel."""
    if length <= MIN_LENGTH or moved >= 0.9 * still or significance < _MIN_SIGNIFICANCE:
        return False
    return moved_forward < 0.5 and moved_forward < 0.9 * still_forward + 0.01


@kernel
def earns_motion(
    length: float,
    rise: float,
    moved: float,
    moved_forward: float,
    still: float,
    still_forward: float,
    active: bool,
) -> bool:
    """Whether a motion explains enough more than no motion.

    Args:
        length: of the motion, horizontally; rise: vertically, up or down, metres.
        moved, moved_forward: E / m and F / m of the motion. still, still_forward: of no motion.
        active: the cluster has unmatched voxels of its own.
    """
    if length <= 0.04 or moved >= (0.75 if active else 0.70) * still:
        return False
    if moved >= _MAX_ENERGY or rise >= 0.03 + 0.1 * length:
        return False
    if still - moved <= 0.08 * min(1.0, (length / TAU) ** 2):
        return False
    return moved_forward < 0.5 and moved_forward < 0.9 * still_forward + 0.01
