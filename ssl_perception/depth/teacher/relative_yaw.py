"""By how much the right camera is turned sideways against its calibration, from one pair.

A camera turned by a small angle a about its vertical axis sees everything shifted by ``fx a``
sideways, which stereo takes for disparity; but it also sees ``fy a x y`` higher or lower, with x
and y the ray's slopes: rows no longer line up, with another sign in each quarter of the image. So
what no disparity can tell, for any shift is some depth, the rows do. A right image that was taken
too late while the robot turns is that of a camera turned by yaw rate times delay.

The right image, sampled at each agreed match, is compared with the left one (one Lucas-Kanade step,
as for the row offset); pitch, roll and another focal length are estimated beside yaw.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import BoolArray, CameraModel, FloatArray

_MOST = 6000  # matches; more hardly make it any better
_FEWEST = 300
_DETAIL = 15  # px; what varies more slowly is exposure and vignetting, not texture
_PASSES = 3  # of iteratively reweighted least squares (Cauchy weights)
_SCALE_PRIOR = 2000.0  # grey levels squared; keeps a difference of focal length near none


class RelativeYaw(NamedTuple):
    """Relative yaw of the two cameras.

    Attributes:
        pixels: by which it adds to every measured disparity; NaN: can't tell.
        sigma: px, standard error.
    """

    pixels: float
    sigma: float


UNKNOWN_YAW = RelativeYaw(float("nan"), float("nan"))


def relative_yaw(
    left: NDArray[np.uint8],
    right: NDArray[np.uint8],
    disparity: FloatArray,
    agreed: BoolArray,
    camera: CameraModel,
) -> RelativeYaw:
    """Yaw of the right camera in excess of its calibration.

    Args:
        left, right: (H, W) grey, rectified.
        disparity: (H, W) px.
        agreed: (H, W) bool: where to believe it.
        camera: the left one.
    """
    width = left.shape[1]
    inside = np.flatnonzero(agreed[1:-1]) + width
    inside = inside[:: max(1, -(-len(inside) // _MOST))]
    if len(inside) < _FEWEST:
        return UNKNOWN_YAW
    rows, columns = np.divmod(inside, width)
    shift = disparity.ravel()[inside]
    match = columns - shift
    first = np.clip(match.astype(np.intp), 0, width - 2)
    part = (match - first).astype(np.float32)
    first += inside - columns
    here, there = _detail(left).ravel(), _detail(right).ravel()

    def seen(offset: int) -> FloatArray:
        near = there[first + offset]
        return np.asarray(near + part * (there[first + offset + 1] - near), np.float32)

    slope = here[inside + width] - here[inside - width]
    slope += seen(width) - seen(-width)
    slope *= np.float32(0.25)
    # rays halfway between the two columns: a rotation of either camera then looks alike
    x = ((columns - np.float32(0.5) * shift - camera.cx) / camera.fx).astype(np.float32)
    y = ((rows - camera.cy) / camera.fy).astype(np.float32)
    along = slope * y
    model = np.stack([slope + along * y, slope * x, along, along * x])
    return _solve(model, seen(0) - here[inside])


def _detail(image: NDArray[np.uint8]) -> FloatArray:
    grey = image.astype(np.float32)
    return np.asarray(grey - cv2.blur(grey, (_DETAIL, _DETAIL)), np.float32)


def _solve(model: FloatArray, difference: FloatArray) -> RelativeYaw:
    """Robust least squares; the last row of ``model`` (4, N) belongs to yaw."""
    prior = np.diag([1e-3, 1e-3, _SCALE_PRIOR, 1e-3])
    weighted = model
    for _ in range(_PASSES):
        normal = (weighted @ model.T).astype(np.float64) + prior
        solution = np.linalg.solve(normal, (weighted @ difference).astype(np.float64))
        error = difference - solution.astype(np.float32) @ model
        spread = 1.4826 * float(np.median(np.abs(error))) + 1e-3
        weighted = model / (1.0 + (error * np.float32(0.5 / spread)) ** 2)
    sigma = spread * float(np.sqrt(np.linalg.inv(normal)[3, 3]))
    return RelativeYaw(float(solution[3]), sigma)
