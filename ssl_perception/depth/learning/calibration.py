"""How many scales of the student's error make a bound: calibrated where the bound is used.

The scan answers by sectors, and a few uncertain cells make a sector unknown. So a cell with
something near counts as covered when the bound of the cell or of one beside it is: the outline of a
near thing, where single cells are wrong by most, lies beside cells that are right.

Adaptive conformal inference (Gibbs and Candès, arXiv 2106.00170) moves the quantile q after each
frame by rate x (share of missed cells - the share asked). A frame counts by its near cells, for two
cells at the border of the image say little of an obstacle that a robot can hit.
"""

from __future__ import annotations

import math

import numpy as np

from ssl_perception.config import LearnerConfig
from ssl_perception.types import FloatArray

_MANY = 60  # near cells, a twentieth of the smallest grid: a frame with so many counts in full
_QUANTILES = math.log(1.0), math.log(30.0)  # what the quantile stays between


def excess(
    log_depth: FloatArray, scale: FloatArray, label: FloatArray, options: LearnerConfig
) -> FloatArray:
    """How many scales too far the student sees each near cell, and its neighbours, at least.

    Args:
        log_depth, scale: (..., rows, columns), of the student; scale of its error, log depth.
        label: likewise, log depth of the teacher, NaN unknown.

    Returns:
        (N,) of the cells whose label is nearer than ``options.near``: the quantile from which on
        each is covered.
    """
    near = label < math.log(options.near)  # False where NaN
    where = np.nonzero(near)
    rows, columns = label.shape[-2:]
    least = np.full(len(where[0]), np.inf, np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row = np.clip(where[-2] + down, 0, rows - 1)
            column = np.clip(where[-1] + right, 0, columns - 1)
            beside = (*where[:-2], row, column)
            least = np.minimum(least, (log_depth[beside] - label[where]) / scale[beside])
    return least


def calibrated(log_quantile: float, excess: FloatArray, options: LearnerConfig) -> float:
    """The logarithm of the quantile after one more frame's ``excess``."""
    if not len(excess):
        return log_quantile
    missed = float((excess > math.exp(log_quantile)).mean())
    weight = min(len(excess) / _MANY, 1.0)
    step = options.calibration_rate * weight * (missed - options.miss_rate)
    low, high = _QUANTILES
    return min(max(log_quantile + step, low), high)
