"""One camera's messages to images that perception can use: 8-bit, rectified, with their camera.

``replay`` and the nodes read their cameras through ``Camera``, so that both see the same pixels.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import CameraConfig
from ssl_perception.errors import InputError
from ssl_perception.io import images
from ssl_perception.io.camera_info import (
    CameraInfo,
    Rectification,
    camera_model,
    is_distorted,
    projection,
)
from ssl_perception.types import BoolArray, CameraImage, CameraModel, FloatArray, StereoPair

_RECTIFIED = re.compile(r"(^|[/_])rect(ified)?(?=$|[/_])")
TRANSPORTS = ("/compressed", "/compressedDepth")  # of image_transport, behind an image's topic


class Seen(NamedTuple):
    """A rectified image.

    Attributes:
        image: (H, W) grey or (H, W, 3) BGR uint8.
        camera: that would have taken it.
        seen: (H, W) bool, pixels that the raw image shows; None: all.
    """

    image: NDArray[np.uint8]
    camera: CameraModel
    seen: BoolArray | None


class Camera:
    """Reads the images of one topic.

    Args:
        topic: its full name, by which ``camera.rectify: auto`` tells raw images from rectified.
    """

    def __init__(self, topic: str, config: CameraConfig) -> None:
        self.topic = topic
        self._config = config
        self._named_rectified = says_rectified(topic)
        self._key: tuple[Any, ...] | None = None
        self._rectification: Rectification | None = None

    def read(self, image: images.AnyImage, info: CameraInfo) -> Seen:
        """The image, rectified where it is raw.

        Raises:
            InputError: an image or camera_info that can't be used, or a raw image that isn't to be
                rectified.
        """
        rectification = self.rectification(info)
        pixels = images.camera_image(image, self._config.bits)
        if rectification is None:
            return Seen(pixels, camera_model(info), None)
        return Seen(rectification.image(pixels), rectification.camera, rectification.seen)

    def with_depth(
        self, image: images.AnyImage, info: CameraInfo, stamp: float, depth: images.AnyImage | None
    ) -> CameraImage:
        """``read``, with the depth image that is aligned with the image, pixel by pixel.

        Raises:
            InputError: as ``read``, or a depth image that can't be used or of another size.
        """
        found = self.read(image, info)
        measured: FloatArray | None = None
        if depth is not None:
            measured = images.decode_depth(depth)
            rectification = self.rectification(info)
            if rectification is not None:
                measured = rectification.depth(measured)
        return CameraImage(found.image, found.camera, stamp, measured, found.seen)

    def rectification(self, info: CameraInfo) -> Rectification | None:
        """What rectifies its images; None: they are taken as they come. Kept until the calibration
        changes.

        Raises:
            InputError: a calibration that can't be used, or raw images with ``camera.rectify`` at
                ``never``.
        """
        key = _key(info)
        if key != self._key:
            self._rectification = Rectification(info) if self._is_raw(info) else None
            self._key = key
        return self._rectification

    def _is_raw(self, info: CameraInfo) -> bool:
        if self._config.rectify == "always":
            return True
        # rectifiers publish image_rect beside the camera_info of the raw image: the name decides
        if self._named_rectified or not is_distorted(info):
            return False
        if self._config.rectify == "never":
            raise InputError(
                f"{self.topic} is not rectified (D of its camera_info isn't zero): set "
                "camera.rectify to auto, or use the topic of the rectified images"
            )
        return True


class StereoCamera:
    """Reads the images of a left and a right topic as pairs.

    Args:
        left, right: topics, see ``Camera``.
    """

    def __init__(self, left: str, right: str, config: CameraConfig) -> None:
        self.left = Camera(left, config)
        self.right = Camera(right, config)

    def read(
        self,
        left: images.AnyImage,
        right: images.AnyImage,
        left_info: CameraInfo,
        right_info: CameraInfo,
        stamp: float,
    ) -> StereoPair:
        """Two images of one instant, rectified.

        The right camera_info carries the baseline: P[3] = -fx * baseline.

        Raises:
            InputError: an image or camera_info that can't be used, images of different size, or
                cameras that weren't rectified together.
        """
        a, b = self.left.read(left, left_info), self.right.read(right, right_info)
        camera, other = a.camera, b.camera
        if abs(other.fx - camera.fx) > 1e-3 * camera.fx or abs(other.cy - camera.cy) > 0.5:
            raise InputError(
                f"left and right camera_info are not of one rectified pair: fx {camera.fx:g} and "
                f"{other.fx:g}, cy {camera.cy:g} and {other.cy:g}"
            )
        p, q = projection(left_info), projection(right_info)
        baseline = float((p[0, 3] - q[0, 3]) / p[0, 0])
        return StereoPair(a.image, b.image, camera, baseline, stamp, other.cx - camera.cx, a.seen)


def image_topic(topic: str) -> str:
    """The image's topic without the transport behind it: ``a/image_raw/compressed`` is
    ``a/image_raw``."""
    for transport in TRANSPORTS:
        topic = topic.removesuffix(transport)
    return topic


def says_rectified(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified: ``image_rect_color``,
    ``rect/image``."""
    return _RECTIFIED.search(image_topic(topic)) is not None


def _key(info: CameraInfo) -> tuple[Any, ...]:
    roi = info.roi
    return (
        info.header.frame_id,
        *(info.width, info.height, info.binning_x, info.binning_y),
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
        info.distortion_model,
        *(np.asarray(m, np.float64).tobytes() for m in (info.d, info.k, info.r, info.p)),
    )
