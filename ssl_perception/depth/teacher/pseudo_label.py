"""From the teacher's depth image to the student's training target."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ssl_perception.config import LearnerConfig, PseudoLabelConfig
from ssl_perception.depth.student.architecture import LOG_DEPTH_RANGE, NANO
from ssl_perception.types import DepthMap, FloatArray


def pseudo_label(
    depth: DepthMap,
    options: PseudoLabelConfig | None = None,
    grid: tuple[int, ...] = NANO.grid,
) -> FloatArray | None:
    """(rows, columns) float32: log depth per cell of the student's grid; NaN where too little is
    known.

    A cell is the mean inverse depth of its pixels, weighted by the teacher's confidence: nearness
    is what counts, and a matcher's errors are uniform in disparity, not in depth. A cell whose mean
    confidence is below ``options.min_known`` stays unknown.

    Args:
        depth: of the teacher.
        options: settings.
        grid: rows and columns of the student's answer.

    Returns:
        None for an invalid depth map: an untrustworthy teacher must not teach.
    """
    if not depth.valid:
        return None
    min_known = (options or PseudoLabelConfig()).min_known
    known = depth.depth > 0
    weight = known.astype(np.float32)
    if depth.confidence is not None:
        weight *= depth.confidence
    inverse = np.divide(weight, depth.depth, out=np.zeros_like(weight), where=known)
    rows, columns = grid
    size = (columns, rows)
    mean_inverse = cv2.resize(inverse, size, interpolation=cv2.INTER_AREA)
    mean_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    enough = mean_weight >= max(min_known, 1e-6)
    label = np.full(grid, np.nan, np.float32)
    label[enough] = np.log(mean_weight[enough] / mean_inverse[enough])
    return np.clip(label, *LOG_DEPTH_RANGE, out=label)


def suspect_since(stereo: DepthMap, disagrees: bool, options: LearnerConfig) -> float:
    """Stamp (s) since which labels are not to be believed; Inf: they are.

    Args:
        stereo: of the newest image.
        disagrees: it has parted from a student that knows this place.
        options: ``take_back`` is the time before in which nobody noticed.
    """
    if not disagrees and stereo.suspect_since == math.inf:
        return math.inf
    return min(stereo.stamp - options.take_back, stereo.suspect_since)
