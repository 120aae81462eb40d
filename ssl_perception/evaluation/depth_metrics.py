"""How wrong a depth image is: the figures of the depth papers and of the stereo benchmarks.

``depth`` and ``truth`` are metres, one-dimensional, of the pixels that count (truth known, an
answer there). A figure over no pixel at all is NaN, never 0: nothing was measured.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import FloatArray


def absolute_relative(depth: FloatArray, truth: FloatArray) -> float:
    """AbsRel: mean |d - t| / t (Eigen et al., NeurIPS 2014). No unit."""
    return _mean(np.abs(depth - truth) / truth)


def squared_relative(depth: FloatArray, truth: FloatArray) -> float:
    """SqRel: mean (d - t)^2 / t, metres (Eigen et al.)."""
    return _mean(np.square(depth - truth, dtype=np.float64) / truth)


def rmse(depth: FloatArray, truth: FloatArray) -> float:
    """Root of the mean (d - t)^2, metres."""
    return math.sqrt(_mean(np.square(depth - truth, dtype=np.float64)))


def rmse_log(depth: FloatArray, truth: FloatArray) -> float:
    """Root of the mean (ln d - ln t)^2 (Eigen et al.). No unit."""
    return math.sqrt(_mean(np.square(np.log(depth, dtype=np.float64) - np.log(truth))))


def within(depth: FloatArray, truth: FloatArray, factor: float) -> float:
    """Share of pixels with max(d / t, t / d) below ``factor``: delta < 1.25^k (Eigen et al.)."""
    return _mean(np.maximum(depth / truth, truth / depth) < factor)


def bad(disparity: FloatArray, truth: FloatArray, pixels: float, relative: float = 0.0) -> float:
    """Share of disparities wrong by more than ``pixels`` px.

    With ``relative`` only if by more than that share of the true disparity, too: ``bad(d, t, 3.0,
    0.05)`` is KITTI 2015's D1; Middlebury's bad-2 and KITTI 2012's have no such part.
    """
    error = np.abs(disparity - truth)
    return _mean((error > pixels) & (error > relative * np.abs(truth)))


def _mean(values: NDArray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else math.nan
