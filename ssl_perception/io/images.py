"""sensor_msgs/Image to arrays, and back; compressed ones as well.

Nothing here imports ROS; messages are read by their attributes, rclpy's and rosbags' alike.
Camera images come out as OpenCV wants them: grey (H, W) or BGR (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io import compressed_image
from ssl_perception.io.camera_info import MAX_SIDE
from ssl_perception.io.compressed_image import CompressedImage
from ssl_perception.types import DepthMap, FloatArray

_PATTERNS = ("rggb", "bggr", "gbrg", "grbg")
# encoding -> element type and channels
ENCODINGS: dict[str, tuple[str, int]] = {
    "mono8": ("u1", 1),
    "8UC1": ("u1", 1),
    "bgr8": ("u1", 3),
    "rgb8": ("u1", 3),
    "8UC3": ("u1", 3),
    "bgra8": ("u1", 4),
    "rgba8": ("u1", 4),
    "mono16": ("u2", 1),
    "16UC1": ("u2", 1),
    "bgr16": ("u2", 3),
    "rgb16": ("u2", 3),
    "32FC1": ("f4", 1),
    "uyvy": ("u1", 2),
    "yuv422": ("u1", 2),
    "yuyv": ("u1", 2),
    "yuv422_yuy2": ("u1", 2),
    **{f"bayer_{pattern}8": ("u1", 1) for pattern in _PATTERNS},
    **{f"bayer_{pattern}16": ("u2", 1) for pattern in _PATTERNS},
}
_GREY = ("mono8", "8UC1", "mono16", "16UC1")
_BLUE_FIRST, _RED_FIRST = slice(0, 3), slice(2, None, -1)
_COLOUR = dict.fromkeys(("bgr8", "8UC3", "bgra8", "bgr16"), _BLUE_FIRST)
_COLOUR |= dict.fromkeys(("rgb8", "rgba8", "rgb16"), _RED_FIRST)
_YUV = dict.fromkeys(("uyvy", "yuv422"), cv2.COLOR_YUV2BGR_UYVY)
_YUV |= dict.fromkeys(("yuyv", "yuv422_yuy2"), cv2.COLOR_YUV2BGR_YUY2)
# ROS names a pattern by its first four pixels, OpenCV's older names by the second row's middle
_BAYER = {
    "bayer_rggb": cv2.COLOR_BayerBG2BGR,
    "bayer_bggr": cv2.COLOR_BayerRG2BGR,
    "bayer_gbrg": cv2.COLOR_BayerGR2BGR,
    "bayer_grbg": cv2.COLOR_BayerGB2BGR,
}


class Image(Protocol):
    """What ``decode`` needs of a message; any buffer will do for ``data``."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def encoding(self) -> str: ...

    @property
    def is_bigendian(self) -> int: ...

    @property
    def step(self) -> int: ...

    @property
    def data(self) -> Any: ...


AnyImage: TypeAlias = Image | CompressedImage
Decoded: TypeAlias = tuple[NDArray[Any], str]


@dataclass(frozen=True, eq=False)
class PackedImage:
    """An Image without its header's stamp, ready to be put into a message.

    Attributes:
        frame: frame_id.
        encoding: one of ``ENCODINGS``.
        step: bytes a row.
        data: (height * step,) uint8, little-endian.
    """

    frame: str
    height: int
    width: int
    encoding: str
    step: int
    data: NDArray[np.uint8]
    is_bigendian: int = 0


@dataclass(frozen=True, eq=False)
class PackedDisparity:
    """A stereo_msgs/DisparityImage without its header's stamp.

    Attributes:
        image: 32FC1 disparities in pixels; below ``min_disparity``: unknown.
        f: focal length, pixels.
        t: baseline, metres. depth = f * t / disparity.
        min_disparity, max_disparity: range searched, pixels.
        delta_d: smallest step, pixels.
    """

    image: PackedImage
    f: float
    t: float
    min_disparity: float
    max_disparity: float
    delta_d: float


def decode(message: Image) -> NDArray[Any]:
    """The image as (H, W) or (H, W, C), in the message's own channel order.

    It is a view of the message's bytes (read-only, rows may be padded) whenever they are in this
    machine's byte order.

    Raises:
        InputError: unknown encoding, or a size, step or data length that contradict each other.
    """
    if message.encoding not in ENCODINGS:
        raise InputError(
            f"image encoding {message.encoding!r} is not one of {', '.join(ENCODINGS)}"
        )
    kind, channels = ENCODINGS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise InputError(f"image size {width}x{height} is not within 1 to {MAX_SIDE} pixels")
    dtype = np.dtype((">" if message.is_bigendian else "<") + kind)
    pixel = dtype.itemsize * channels
    if step < width * pixel:
        raise InputError(
            f"image step {step} is less than the {width * pixel} bytes of "
            f"{width} {message.encoding} pixels"
        )
    data = np.frombuffer(message.data, np.uint8)
    if len(data) < (height - 1) * step + width * pixel or len(data) > height * step:
        raise InputError(
            f"image data holds {len(data)} bytes, but height {height} x step {step} "
            f"is {height * step}"
        )
    shape, strides = (height, width), (step, pixel)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)  # type: ignore[assignment]
    image: NDArray[Any] = np.ndarray(shape, dtype, data, strides=strides)
    image.flags.writeable = False
    return image if dtype.isnative else image.astype(dtype.newbyteorder("="))


def camera_image(message: AnyImage, bits: int = 16) -> NDArray[np.uint8]:
    """A camera's image as contiguous (H, W) grey or (H, W, 3) BGR uint8.

    Args:
        bits: that count in images of 16 bits: the highest 8 of so many are taken.

    Raises:
        InputError: as ``decode``, or an encoding that is neither grey, colour nor a Bayer pattern.
    """
    image, encoding = _pixels(message, compressed_image.decode)
    if image.dtype == np.uint16:
        image = np.minimum(image >> (bits - 8), 255).astype(np.uint8)
    if encoding in _GREY:
        return np.ascontiguousarray(image)
    if encoding in _COLOUR:
        return np.ascontiguousarray(image[..., _COLOUR[encoding]])
    pattern = encoding.removesuffix("16").removesuffix("8")
    conversion = _BAYER.get(pattern, _YUV.get(encoding))
    if conversion is None:
        usable = (*_GREY, *_COLOUR, *_YUV, *_BAYER)
        raise InputError(f"camera image is {encoding}; {', '.join(usable)} can be used")
    height, width = image.shape[:2]
    if width % 2 or (pattern in _BAYER and height % 2):
        raise InputError(f"{encoding} image of {width}x{height} pixels: an even number is needed")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), conversion), np.uint8)


def encode(image: NDArray[Any], encoding: str, frame: str = "") -> PackedImage:
    """Pack (H, W) or (H, W, C) into an Image of that encoding.

    Raises:
        InputError: the array doesn't have the encoding's type and channels.
    """
    if encoding not in ENCODINGS:
        raise InputError(f"image encoding {encoding!r} is not one of {', '.join(ENCODINGS)}")
    kind, channels = ENCODINGS[encoding]
    have = image.shape[2] if image.ndim == 3 else 1
    if image.dtype.newbyteorder("=") != np.dtype(kind) or image.ndim not in (2, 3):
        raise InputError(f"{encoding} needs {np.dtype(kind)}, not {image.shape} {image.dtype}")
    if have != channels:
        raise InputError(f"{encoding} needs {channels} channels, not {have}")
    packed = np.ascontiguousarray(image, "<" + kind)
    height, width = image.shape[:2]
    step = width * channels * packed.dtype.itemsize
    return PackedImage(frame, height, width, encoding, step, packed.view(np.uint8).reshape(-1))


_CONFIDENCE_STEPS = 254  # even, so that a half is exact


def encode_depth(depth: DepthMap) -> PackedImage:
    """Depth as 32FC1 in metres, NaN unknown (REP 118).

    An Image can't say that it isn't valid, so a depth map that isn't is unknown everywhere.
    """
    return encode(_known(depth), "32FC1", depth.camera.frame)


def decode_depth(message: AnyImage) -> NDArray[np.float32]:
    """(H, W) float32 metres, NaN unknown, from 32FC1 (metres) or 16UC1 (millimetres, 0 unknown).

    Raises:
        InputError: as ``decode``, or another encoding.
    """
    image, encoding = _pixels(message, compressed_image.decode_depth)
    if encoding == "32FC1":
        return np.where(np.isfinite(image) & (image > 0), image, np.float32(np.nan))
    if encoding in ("16UC1", "mono16"):
        return np.where(image > 0, image / np.float32(1000), np.float32(np.nan))
    raise InputError(f"depth image is {encoding}; 32FC1 or 16UC1 can be used")


def encode_confidence(depth: DepthMap) -> PackedImage:
    """Confidence as mono8 in steps of 1/254: the teacher's 0, 0.5 and 1 are exact.

    A depth map without confidence counts as confident wherever it is known.
    """
    confidence = depth.confidence
    if confidence is None:
        confidence = np.isfinite(depth.depth).astype(np.float32)
    steps = np.rint(confidence * np.float32(_CONFIDENCE_STEPS)).astype(np.uint8)
    return encode(steps, "mono8", depth.camera.frame)


def decode_confidence(message: Image) -> NDArray[np.float32]:
    """(H, W) float32 in [0, 1]; ``encode_confidence`` undone.

    Raises:
        InputError: as ``decode``, or another encoding than mono8.
    """
    image = decode(message)
    if message.encoding != "mono8":
        raise InputError(f"confidence image is {message.encoding}; mono8 can be used")
    return np.minimum(image / np.float32(_CONFIDENCE_STEPS), np.float32(1.0))


def encode_disparity(
    depth: DepthMap, baseline: float, disparities: float, step: float = 1 / 16
) -> PackedDisparity:
    """Depth as the disparity that a stereo_image_proc would publish.

    Args:
        depth: metres; unknown pixels (all, when it isn't valid) become ``min_disparity - 1``,
            which readers take as invalid.
        baseline: metres.
        disparities: search range, pixels.
        step: smallest step, pixels (OpenCV's matchers: 1/16).
    """
    disparity = np.float32(depth.camera.fx * baseline) / _known(depth)
    disparity[~np.isfinite(disparity)] = -1.0
    image = encode(disparity, "32FC1", depth.camera.frame)
    return PackedDisparity(image, depth.camera.fx, baseline, 0.0, disparities, step)


def _pixels(message: Any, decompress: Callable[[Any], Decoded]) -> Decoded:
    """The pixels of an Image, or of a CompressedImage, which has a format, and their encoding."""
    if hasattr(message, "format"):
        return decompress(message)
    return decode(message), str(message.encoding)


def _known(depth: DepthMap) -> FloatArray:
    return depth.depth if depth.valid else np.full_like(depth.depth, np.nan)
