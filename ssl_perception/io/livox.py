"""Livox's own message, ``livox_ros_driver2/msg/CustomMsg``, to a sweep, read from its bytes.

    std_msgs/Header header
    uint64 timebase
    uint32 point_num
    uint8 lidar_id
    uint8[3] rsvd
    CustomPoint[] points     # uint32 offset_time (ns), float32 x y z, uint8 reflectivity tag line

A list of some ten thousand message objects would take a tenth of a second to make. Their bytes are
read as an array instead, from a recording as from a subscription, and the package that defines the
message needn't be there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io.point_cloud2 import MAX_COORDINATE, MAX_POINTS
from ssl_perception.io.point_time import seconds_from_stamp
from ssl_perception.types import PointCloud

CUSTOM_MESSAGES = ("livox_ros_driver2/msg/CustomMsg", "livox_interfaces/msg/CustomMsg")

_ENCAPSULATION = 4  # bytes before the CDR; offsets and alignment count behind them
_NAMES = ("offset_time", "x", "y", "z", "reflectivity", "tag", "line")
_KINDS = ("u4", "f4", "f4", "f4", "u1", "u1", "u1")
_OFFSETS = (0, 4, 8, 12, 16, 17, 18)
_POINT, _STEP = 19, 20  # bytes of a point, and from one to the next
_MAX_NAME = 256


@dataclass(frozen=True, eq=False)
class Time:
    """As builtin_interfaces/Time."""

    sec: int
    nanosec: int


@dataclass(frozen=True, eq=False)
class Header:
    """As std_msgs/Header."""

    stamp: Time
    frame_id: str


@dataclass(frozen=True, eq=False)
class CustomMessage:
    """A message whose points are an array.

    Attributes:
        header: of the first point's instant.
        points: (N,) records with the fields of CustomPoint.
    """

    header: Header
    points: NDArray[np.void]

    @property
    def height(self) -> int:
        return 1

    @property
    def width(self) -> int:
        return len(self.points)


def parse(raw: bytes | memoryview) -> CustomMessage:
    """A serialised message (CDR, either byte order).

    Raises:
        InputError: not such a message, or cut short.
    """
    data = memoryview(raw).cast("B")
    try:
        if len(data) < _ENCAPSULATION or data[1] > 1:
            raise InputError("corrupt CustomMsg: no CDR")
        order, body = "<" if data[1] else ">", data[_ENCAPSULATION:]
        seconds, nanoseconds, length = struct.unpack_from(order + "iII", body, 0)
        if not 0 < length <= _MAX_NAME:
            raise InputError(f"corrupt CustomMsg: frame_id of {length} bytes")
        frame = bytes(body[12 : 12 + length - 1]).decode("utf-8", "replace")
        at = _aligned(12 + length, 8) + 8 + 4 + 1 + 3  # timebase, point_num, lidar_id, rsvd
        (count,) = struct.unpack_from(order + "I", body, at)
    except struct.error:
        raise InputError("corrupt CustomMsg: it ends within its header") from None
    at += 4
    if count > MAX_POINTS or (count and len(body) < at + (count - 1) * _STEP + _POINT):
        raise InputError(f"corrupt CustomMsg: {len(body)} bytes for {count} points")
    kinds = [order + kind for kind in _KINDS]
    record = np.dtype(
        {"names": list(_NAMES), "formats": kinds, "offsets": list(_OFFSETS), "itemsize": _POINT}
    )
    points = np.ndarray((count,), record, body, at, (_STEP,))
    return CustomMessage(Header(Time(seconds, nanoseconds), frame), points)


def decode(message: CustomMessage, stamp_ns: int, channels: bool = False) -> PointCloud:
    """The sweep, without points that are no return (at the origin, or not finite).

    Args:
        stamp_ns: of its header.
        channels: read intensity (``reflectivity``) and ring (``line``) as well.

    Raises:
        InputError: no point in it, or coordinates or times that can't be.
    """
    records = message.points
    points = np.stack([records[axis].astype(np.float32) for axis in "xyz"], axis=-1)
    keep = np.isfinite(points).all(axis=1) & points.any(axis=1)
    if not keep.any():
        raise InputError(f"empty cloud: none of {len(points)} points is a return")
    points, records = points[keep], records[keep]
    if np.abs(points).max() > MAX_COORDINATE:
        raise InputError(f"points lie beyond {MAX_COORDINATE:g} m: not metres, or corrupt")
    return PointCloud(
        points,
        seconds_from_stamp(records["offset_time"].astype(np.uint32), stamp_ns, "offset_time"),
        stamp_ns * 1e-9,
        message.header.frame_id,
        intensity=records["reflectivity"] if channels else None,
        ring=records["line"] if channels else None,
    )


def _aligned(offset: int, size: int) -> int:
    return -(-offset // size) * size
