"""sensor_msgs/CameraInfo: the rectified camera that it describes, and the way to it from a raw one.

K, R, P and D speak of the full-resolution sensor (REP 104); ``roi`` and ``binning`` say which part
of it, and how many of its pixels to one, the images are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io.compressed_image import MAX_PIXELS
from ssl_perception.types import BoolArray, CameraModel, FloatArray

Matrix = NDArray[np.float64]
MAX_SIDE = 32_768  # pixels
MAX_BINNING = 64
# distortion_model -> how many coefficients OpenCV knows for it
_PINHOLE = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14)}
_FISHEYE = ("equidistant", "fisheye")


class CameraInfo(Protocol):
    """What is read of a message; matrices come row by row."""

    header: Any
    height: int
    width: int
    distortion_model: str
    d: Sequence[float] | Matrix
    k: Sequence[float] | Matrix
    r: Sequence[float] | Matrix
    p: Sequence[float] | Matrix
    binning_x: int
    binning_y: int
    roi: Any


class _Window(NamedTuple):
    """Which part of the sensor an image shows: offset and size in sensor pixels, binning."""

    x: int
    y: int
    width: int
    height: int
    across: int
    down: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image."""
        return self.width // self.across, self.height // self.down

    def of(self, matrix: Matrix) -> Matrix:
        """A (3, 3) camera matrix for the image's pixels, whose centres are whole numbers."""
        seen = matrix.copy()
        for row, (first, step) in enumerate(((self.x, self.across), (self.y, self.down))):
            seen[row, 2] -= first
            if step > 1:
                seen[row, :2] /= step
                seen[row, 2] = (seen[row, 2] + 0.5) / step - 0.5
        return seen


def camera_model(info: CameraInfo) -> CameraModel:
    """The rectified camera that P describes, in the pixels of the images that come.

    Raises:
        InputError: P isn't 12 finite numbers, the camera isn't calibrated (fx or fy is 0), or the
            region of interest isn't inside the image.
    """
    p = projection(info)
    if p[0, 0] <= 0 or p[1, 1] <= 0:
        raise InputError("camera_info holds no calibration: fx or fy of P is not positive")
    window = _window(info)
    m = window.of(p[:, :3])
    frame = info.header.frame_id
    centre = float(m[0, 2]), float(m[1, 2])
    return CameraModel(*window.size, float(m[0, 0]), float(m[1, 1]), *centre, frame)


def projection(info: CameraInfo) -> Matrix:
    """P, (3, 4), of the full-resolution camera.

    Raises:
        InputError: not 12 finite numbers.
    """
    return _matrix(info.p, (3, 4), "P")


def is_distorted(info: CameraInfo) -> bool:
    """Whether its raw images differ from the rectified ones by more than a turn, as image_proc
    asks it: some coefficient of D isn't 0."""
    return bool(np.any(np.asarray(info.d, np.float64)))


class Rectification:
    """Raw images of one camera to rectified ones: maps made once, from D, K, R and P.

    Attributes:
        camera: of the rectified images.
        seen: (H, W) bool, rectified pixels that the raw image shows; None: it shows them all.

    Raises:
        InputError: matrices or coefficients that can't be used, a distortion model that OpenCV
            doesn't know, or a calibration by which the raw image shows nothing.
    """

    def __init__(self, info: CameraInfo) -> None:
        self.camera = camera_model(info)
        window = _window(info)
        size = window.size
        if size[0] * size[1] > MAX_PIXELS:  # the maps are made before an image of that size came
            raise InputError(
                f"camera_info: image of {size[0]}x{size[1]} pixels is larger than the "
                f"{MAX_PIXELS} that are rectified"
            )
        raw = window.of(_matrix(info.k, (3, 3), "K"))
        if raw[0, 0] <= 0 or raw[1, 1] <= 0:
            raise InputError("camera_info holds no calibration: fx or fy of K is not positive")
        turn = _matrix(info.r, (3, 3), "R")
        if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3):
            raise InputError("camera_info: R must be a rotation")
        wanted = window.of(projection(info)[:, :3])
        coefficients, fisheye = _distortion(info)
        x, y = _maps(raw, coefficients, turn, wanted, size, fisheye)
        self._from_raw = _depth_ratio(wanted, turn, size)
        inside = (x >= 0) & (x <= size[0] - 1) & (y >= 0) & (y <= size[1] - 1)
        inside &= np.isfinite(self._from_raw)  # not behind the raw camera
        if not inside.any():
            raise InputError("camera_info: by K, D, R and P no rectified pixel is in the raw image")
        self.seen: BoolArray | None = None if inside.all() else inside
        self._maps = x, y

    def image(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W) or (H, W, 3); what the raw image doesn't show is black."""
        self._check(raw)
        return np.asarray(cv2.remap(raw, *self._maps, cv2.INTER_LINEAR), np.uint8)

    def depth(self, raw: FloatArray) -> FloatArray:
        """(H, W) metres along the rectified camera's axis from such along the raw one's; NaN
        unknown."""
        self._check(raw)
        nan = float("nan")
        moved = cv2.remap(raw, *self._maps, cv2.INTER_NEAREST, borderValue=nan)
        return np.asarray(moved * self._from_raw, np.float32)

    def _check(self, raw: NDArray[Any]) -> None:
        width, height = self.camera.width, self.camera.height
        if raw.shape[:2] != (height, width):
            h, w = raw.shape[:2]
            raise InputError(f"image is {w}x{h} but camera_info says {width}x{height}")


def _window(info: CameraInfo) -> _Window:
    roi = info.roi
    binning = max(1, int(info.binning_x)), max(1, int(info.binning_y))  # 0 is the same as 1
    width, height = int(roi.width), int(roi.height)
    whole = not (width or height)  # all zero: the full image
    x, y = (0, 0) if whole else (int(roi.x_offset), int(roi.y_offset))
    if whole:
        width, height = int(info.width), int(info.height)
    if max(binning) > MAX_BINNING:
        raise InputError(f"camera_info: binning of {binning[0]} and {binning[1]} pixels")
    if x + width > info.width or y + height > info.height:
        raise InputError(
            f"camera_info: roi of {width}x{height} at {x}, {y} is not inside "
            f"{info.width}x{info.height}"
        )
    window = _Window(x, y, width, height, *binning)
    if not all(0 < side <= MAX_SIDE for side in window.size):
        raise InputError(
            f"camera_info: image of {window.size[0]}x{window.size[1]} is not within 1 to "
            f"{MAX_SIDE} pixels"
        )
    return window


def _distortion(info: CameraInfo) -> tuple[Matrix, bool]:
    """Coefficients as OpenCV takes them, and whether they are its fisheye model's."""
    model, d = str(info.distortion_model), np.asarray(info.d, np.float64).reshape(-1)
    if not np.isfinite(d).all():
        raise InputError("camera_info: D must be finite numbers")
    if not d.any():
        return np.zeros(5), False
    if model in _FISHEYE and len(d) == 4:
        return d, True
    counts = _PINHOLE.get(model)
    if counts is None and model not in _FISHEYE:
        known = ", ".join((*_PINHOLE, _FISHEYE[0]))
        raise InputError(f"camera_info: distortion model {model!r} is not one of {known}")
    if counts is None or len(d) not in counts:
        raise InputError(f"camera_info: {model} doesn't have {len(d)} coefficients")
    return d, False


def _maps(
    raw: Matrix,
    distortion: Matrix,
    turn: Matrix,
    rectified: Matrix,
    size: tuple[int, int],
    fisheye: bool,
) -> tuple[FloatArray, FloatArray]:
    """(H, W) columns and rows of the raw image that the rectified image's pixels show."""
    given = raw, distortion, turn, rectified, size, cv2.CV_32FC1
    if fisheye:
        x, y = cv2.fisheye.initUndistortRectifyMap(*given)
    else:
        x, y = cv2.initUndistortRectifyMap(*given)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _depth_ratio(camera: Matrix, turn: Matrix, size: tuple[int, int]) -> FloatArray:
    """(H, W): depth along the rectified axis, of a point with depth 1 along the raw one."""
    u, v = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in size))
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(camera).T
    along_raw = rays @ turn[:, 2]  # third component of R^T ray
    with np.errstate(divide="ignore"):
        return np.where(along_raw > 0, 1.0 / along_raw, np.nan).astype(np.float32)


def _matrix(values: Sequence[float] | Matrix, shape: tuple[int, int], name: str) -> Matrix:
    matrix = np.asarray(values, np.float64)
    if matrix.size != shape[0] * shape[1] or not np.isfinite(matrix).all():
        raise InputError(f"camera_info: {name} must be {shape[0] * shape[1]} finite numbers")
    return matrix.reshape(shape)
