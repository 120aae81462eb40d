"""sensor_msgs/CompressedImage to pixels: JPEG and PNG, and depth as ``compressedDepth`` has it.

Nothing here imports ROS. A file of some kilobytes can claim a picture of gigabytes: its header is
read, and its size bounded, before anything is decoded.
"""

from __future__ import annotations

import io
import re
import struct
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from ssl_perception.errors import InputError

MAX_PIXELS = 1 << 26  # 67 million, 8192 x 8192
MAX_BYTES = 1 << 28  # more than any camera's, before decompression
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}  # what a file that wasn't cut short ends with
_DEPTH_HEADER = struct.Struct("<iff")  # compressed_depth_image_transport: kind, and two parameters


class CompressedImage(Protocol):
    """What ``decode`` needs of a message; any buffer will do for ``data``."""

    header: Any
    format: str
    data: Any


def decode(message: CompressedImage) -> tuple[NDArray[Any], str]:
    """The picture in a message, and the encoding that an Image of these pixels would have.

    Colour is BGR, whatever the camera's own order: JPEG and PNG files know theirs. A Bayer pattern
    that was compressed as such is named in ``format`` (``...; png compressed bayer_rggb8``).

    Raises:
        InputError: neither JPEG nor PNG, cut short or broken, or larger than ``MAX_PIXELS``.
    """
    pixels = _decompressed(np.frombuffer(message.data, np.uint8), str(message.format))
    deep = pixels.dtype == np.uint16
    if pixels.ndim == 3:
        if pixels.shape[2] == 4 and deep:
            pixels = pixels[..., :3]
        return pixels, {3: "bgr", 4: "bgra"}[pixels.shape[2]] + ("16" if deep else "8")
    bits = "16" if deep else "8"
    pattern = re.search(rf"compressed (bayer_[rgb]{{4}}{bits})", str(message.format))
    return pixels, pattern.group(1) if pattern else "mono" + bits


def decode_depth(message: CompressedImage) -> tuple[NDArray[Any], str]:
    """A depth image, and its encoding: 16UC1 (mm) or 32FC1 (m, NaN unknown).

    Takes PNG files of 16 bits and those of compressed_depth_image_transport, where a PNG holds
    inverse depth in steps: value = a / depth + b, 0 unknown.

    Raises:
        InputError: as ``decode``, or another format.
    """
    kind, data = str(message.format), np.frombuffer(message.data, np.uint8)
    transported = "compressedDepth" in kind
    if transported:
        if "rvl" in kind or len(data) <= _DEPTH_HEADER.size:
            raise InputError(f"compressed depth image {kind!r}: only PNG can be used")
        _, a, b = _DEPTH_HEADER.unpack(data[: _DEPTH_HEADER.size].tobytes())
        data = data[_DEPTH_HEADER.size :]
    pixels = _decompressed(data, kind)
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise InputError(f"compressed depth image {kind!r} must hold one channel of 16 bits")
    if not (transported and kind.startswith("32FC1")):
        return pixels, "16UC1"
    if not (np.isfinite(a) and np.isfinite(b) and a > 0):
        raise InputError(f"compressed depth image {kind!r}: steps of {a} and {b} are none")
    with np.errstate(divide="ignore"):
        depth = np.float32(a) / (pixels.astype(np.float32) - np.float32(b))
    return np.where(pixels > 0, depth, np.float32(np.nan)), "32FC1"


def _decompressed(data: NDArray[np.uint8], kind: str) -> NDArray[Any]:
    if not 0 < len(data) <= MAX_BYTES:
        raise InputError(f"compressed image of {len(data)} bytes is not within 1 to {MAX_BYTES}")
    try:
        with Picture.open(io.BytesIO(data.data), formats=tuple(_ENDS)) as header:
            (width, height), found = header.size, str(header.format)
    except Exception:  # whatever Pillow's parsers meet in a broken file
        raise InputError(f"compressed image {kind!r} is not a readable JPEG or PNG") from None
    if width * height > MAX_PIXELS:
        raise InputError(
            f"compressed image of {width}x{height} pixels is larger than the {MAX_PIXELS} allowed"
        )
    # OpenCV fills up what is missing of a file in grey
    if data.tobytes().rfind(_ENDS[found]) < 0:
        raise InputError(f"compressed image is cut short: the end of the {found} is missing")
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(data, flags)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"compressed image {kind!r} is not a readable JPEG or PNG")
    return np.asarray(pixels)
