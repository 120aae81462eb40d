"""Observability of a motion: a flat patch that moves within its own plane looks the same.

Such a motion shows at the ends of the patch alone. But where an occluder ends, so does what is seen
of a wall behind it: seen through the gap between two vehicles, a patch of wall slides along with
the gap, and fits perfectly. So ends count only where the other sweep looked: where the patch was,
and is no longer seen though nothing is before it, or where it is now, and wasn't.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.acceptance import significance
from ssl_perception.flow.rigid.matching import Matching
from ssl_perception.flow.rigid.sampling import Sample
from ssl_perception.flow.rigid.visibility import RangeImage, occluded
from ssl_perception.runtime.numba_kernel import kernel

UNOBSERVABLE = 0.04  # of the best observed direction's information; flat patches have 0.01 to 0.03
MIN_END_SIGNIFICANCE = 3.0  # that the ends of a patch must show


@kernel
def observability(matching: Matching, m: int, q: NDArray[np.float64]) -> float:
    """How well the shape of a cluster shows a translation along ``q`` (4,), in [0, 1].

        u'Iu / max_v v'Iv,   I = sum_i [C_i^-1]_xy,   u = t_xy / |t_xy|

    with unit vectors v, and C_i the covariance of the points around each point: the inverse of a
    flat surface's is large along its normal alone. I is the Hessian of the GICP cost.

    Args:
        matching: its covariances of x are set, as ``generalised_icp`` leaves them.
        m: points of x.
    """
    xx = xy = yy = 0.0
    for i in range(m):
        c = matching.covariance_x[i]
        # the inverse's horizontal block, from cofactors
        m00 = c[3] * c[5] - c[4] * c[4]
        m01 = c[2] * c[4] - c[1] * c[5]
        m11 = c[0] * c[5] - c[2] * c[2]
        m02 = c[1] * c[4] - c[2] * c[3]
        scale = 1.0 / (c[0] * m00 + c[1] * m01 + c[2] * m02)
        xx += scale * m00
        xy += scale * m01
        yy += scale * m11
    best = 0.5 * (xx + yy) + np.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
    square = q[0] * q[0] + q[1] * q[1]
    return (q[0] * q[0] * xx + 2.0 * q[0] * q[1] * xy + q[1] * q[1] * yy) / (best * square + 1e-12)


@kernel
def ends_show(
    sample: Sample,
    centre: NDArray[np.float32],
    image: RangeImage,
    still: NDArray[np.float32],
    moved: NDArray[np.float32],
    still_novel: NDArray[np.float32],
    moved_novel: NDArray[np.float32],
) -> bool:
    """Whether a motion is significant by those points alone whose place the other sweep saw.

    Args:
        sample, still, moved, still_novel, moved_novel: as for ``significance``; the costs of points
            that the target couldn't see where they were are overwritten by 0.
        centre: (2,), the sample's horizontal zero. image: of the target.
    """
    for i in range(sample.size[0]):
        x, y = sample.x[0, i] + centre[0], sample.x[1, i] + centre[1]
        if still[i] != moved[i] and occluded(image, x, y, sample.x[2, i]):
            still[i] = moved[i] = np.float32(0.0)
    gain = significance(sample, still, moved, still_novel, moved_novel)
    return bool(gain >= MIN_END_SIGNIFICANCE)
