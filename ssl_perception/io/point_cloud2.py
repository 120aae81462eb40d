"""sensor_msgs/PointCloud2 to ``PointCloud``, and scene flow back into a PointCloud2.

Nothing here imports ROS. ``decode`` reads any object with the message's attributes: rclpy's, and
the one that rosbags makes of a recorded message. The encoders give a ``PackedCloud`` with the
message's fields; ``io.output`` serialises it, for bags and topics alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io.point_time import TIME_FIELDS, seconds_from_stamp
from ssl_perception.types import (
    BoolArray,
    FloatArray,
    PointCloud,
    SceneFlow,
)

MAX_POINTS = 20_000_000  # ten times the densest lidar; a header that says more is lying
MAX_POINT_STEP = 4096  # bytes
MAX_COORDINATE = 1e6  # metres; beyond, float32 itself is coarser than 6 cm

# names that drivers have for them; the first that is there counts
INTENSITY_FIELDS = ("intensity", "reflectivity", "reflectance", "i")
RING_FIELDS = ("ring", "line", "channel", "laser_id")  # line: Livox, channel: Autoware
CHANNELS = (*INTENSITY_FIELDS, *RING_FIELDS)

# sensor_msgs/PointField.datatype -> NumPy kind and size
DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
UINT8, UINT16, FLOAT32 = 2, 4, 7


@dataclass(frozen=True)
class PointField:
    """One field of a packed point, as in sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int = 1


class PointCloud2(Protocol):
    """What ``decode`` needs of a message; any buffer will do for ``data``."""

    header: Any
    height: int
    width: int
    fields: Sequence[Any]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: Any
    is_dense: bool


@dataclass(frozen=True, eq=False)
class PackedCloud:
    """A PointCloud2 without its header's stamp, ready to be put into a message.

    Attributes:
        frame: frame_id.
        fields: names, offsets and types.
        point_step: bytes a point.
        data: (width * point_step,) uint8, little-endian, one row.
        width: number of points; the height is 1.
        is_dense: no NaN in it.
    """

    frame: str
    fields: tuple[PointField, ...]
    point_step: int
    data: NDArray[np.uint8]
    width: int
    is_dense: bool
    height: int = 1
    is_bigendian: bool = False

    @property
    def row_step(self) -> int:
        return self.width * self.point_step


class FlowCloud(NamedTuple):
    """A scene-flow message read back.

    Attributes:
        points: (N, 3) float32, metres.
        velocity: (N, 3) float32, m/s over ground; NaN unknown.
        moving: (N,) bool.
        confidence: (N,) float32 in [0, 1].
    """

    points: FloatArray
    velocity: FloatArray
    moving: BoolArray
    confidence: FloatArray


def stamp_ns(stamp: Any) -> int:
    """A builtin_interfaces/Time as integer nanoseconds (a float64 epoch would lose 200 ns).

    Raises:
        InputError: negative seconds, or a whole second of nanoseconds and more.
    """
    seconds, nanoseconds = int(stamp.sec), int(stamp.nanosec)
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise InputError(f"stamp of {seconds} s and {nanoseconds} ns is no time")
    return seconds * 1_000_000_000 + nanoseconds


def decode(message: PointCloud2, channels: bool = False) -> PointCloud:
    """The sweep in a message, without the points that are none.

    Points at exactly (0, 0, 0) are what drivers write for "no return" and are dropped, as are
    non-finite ones, also of drivers that say ``is_dense`` and mean it almost. How many:
    ``height * width - len(cloud)``.

    Per-point time is taken from the first field of ``TIME_FIELDS`` that is there, whatever its
    unit (see ``io.point_time``).

    Args:
        channels: read intensity and ring as well, where the driver has them by one of the names
            ``INTENSITY_FIELDS`` and ``RING_FIELDS``.

    Raises:
        InputError: the message lacks x, y or z, contradicts itself (sizes, offsets, times far from
            its stamp), is absurdly large, or holds no point.
    """
    if not (message.width and message.height):
        raise InputError("empty cloud: no points in the message")
    records = _records(message, CHANNELS if channels else ())
    stamp = stamp_ns(message.header.stamp)
    points = _positions(records)

    finite = np.isfinite(points)
    keep: BoolArray | None = None
    if not finite.all():
        keep = finite[:, 0] & finite[:, 1] & finite[:, 2]  # five times as fast as all(axis=1)
    none = (points[:, 0] == 0) & (points[:, 1] == 0) & (points[:, 2] == 0)
    if none.any():
        keep = ~none if keep is None else keep & ~none
    if keep is not None:
        points = points[keep]
    if not len(points):
        raise InputError(f"empty cloud: none of {records.size} points is a return")
    if max(-float(points.min()), float(points.max())) > MAX_COORDINATE:
        raise InputError(f"points lie beyond {MAX_COORDINATE:g} m: not metres, or corrupt")

    time = None
    names = records.dtype.names or ()
    name = next((name for name in TIME_FIELDS if name in names), None)
    if name is not None:
        values = records[name].reshape(-1)
        time = seconds_from_stamp(values if keep is None else values[keep], stamp, name)
    intensity, ring = (
        _channel(records, wanted, keep) if channels else None
        for wanted in (INTENSITY_FIELDS, RING_FIELDS)
    )
    return PointCloud(
        points,
        time,
        stamp * 1e-9,
        message.header.frame_id,
        intensity=None if intensity is None else intensity.astype(np.float32),
        ring=None if ring is None or ring.dtype.kind not in "iu" else ring.astype(np.uint16),
    )


def _channel(
    records: NDArray[Any], wanted: Sequence[str], keep: BoolArray | None
) -> NDArray[Any] | None:
    """(N,) values of the first of these fields that is there, of the points kept."""
    name = next((name for name in wanted if name in (records.dtype.names or ())), None)
    if name is None:
        return None
    values = records[name].reshape(-1)
    return values if keep is None else values[keep]


def _records(message: PointCloud2, more: Sequence[str] = ()) -> NDArray[Any]:
    """(height, width) structured view of the message's own bytes; nothing is copied."""
    data = np.frombuffer(message.data, np.uint8)
    height, width = int(message.height), int(message.width)
    step, row = int(message.point_step), int(message.row_step)
    if height * width > MAX_POINTS:
        raise InputError(f"{width} x {height} points are more than the {MAX_POINTS} allowed")
    if not 0 < step <= MAX_POINT_STEP:
        raise InputError(f"point_step {step} is not within 1 to {MAX_POINT_STEP} bytes")
    if row < width * step:
        raise InputError(f"row_step {row} is less than width {width} x point_step {step}")
    if len(data) < (height - 1) * row + width * step or len(data) > height * row:
        raise InputError(
            f"data holds {len(data)} bytes, but height {height} x row_step {row} is {height * row}"
        )
    order = ">" if message.is_bigendian else "<"
    wanted = {"x", "y", "z", *TIME_FIELDS, *more}
    found: dict[str, tuple[str, int]] = {}
    for field in message.fields:
        if field.name not in wanted:
            continue
        if field.datatype not in DATATYPES:
            raise InputError(f"field {field.name!r} has unknown datatype {field.datatype}")
        kind = order + DATATYPES[field.datatype]
        if field.offset + np.dtype(kind).itemsize > step:
            raise InputError(
                f"field {field.name!r} at offset {field.offset} ends beyond point_step {step}"
            )
        found[field.name] = (kind, int(field.offset))
    missing = [axis for axis in "xyz" if axis not in found]
    if missing:
        names = ", ".join(str(field.name) for field in message.fields)
        raise InputError(f"PointCloud2 has no field {', '.join(missing)}; it has {names}")
    for axis in "xyz":
        if found[axis][0][1] != "f":
            raise InputError(f"field {axis!r} must be float32 or float64, not {found[axis][0][1:]}")
    dtype = np.dtype(
        {
            "names": list(found),
            "formats": [kind for kind, _ in found.values()],
            "offsets": [offset for _, offset in found.values()],
            "itemsize": step,
        }
    )
    return np.ndarray((height, width), dtype, data, strides=(row, step))


def _positions(records: NDArray[Any]) -> FloatArray:
    """(N, 3) float32, contiguous: the one copy that leaving the message's bytes takes."""
    points = np.empty((*records.shape, 3), np.float32)
    # float64 beyond float32's range turns to Inf here and is refused as such
    with np.errstate(over="ignore"):
        for axis, name in enumerate("xyz"):
            points[..., axis] = records[name]
    return points.reshape(-1, 3)


FLOW_FIELDS = ("x", "y", "z", "vx", "vy", "vz", "confidence", "moving")


def _flow_layout(names: Sequence[str]) -> tuple[tuple[PointField, ...], int]:
    """The fields of a scene flow message, and the bytes of a point: floats side by side, then
    ``moving`` in four bytes of its own, which keep the next point's floats aligned."""
    fields = tuple(
        PointField(name, 4 * i, UINT8 if name == "moving" else FLOAT32)
        for i, name in enumerate(names)
    )
    return fields, 4 * len(names)


_FLOW_LAYOUT, _FLOW_STEP = _flow_layout(FLOW_FIELDS)
_FLOW_TYPE = np.dtype(
    {
        "names": ["position", "velocity", "confidence", "moving"],
        "formats": ["(3,)<f4", "(3,)<f4", "<f4", "u1"],
        "offsets": [0, 12, 24, 28],
        "itemsize": _FLOW_STEP,
    }
)


def flow_fields(names: str) -> tuple[str, ...]:
    """A choice of ``FLOW_FIELDS`` from a text such as ``"x y z vx vy vz"``, in their usual order.

    Raises:
        InputError: another name, or x, y or z left out.
    """
    asked = names.split()
    unknown = [name for name in asked if name not in FLOW_FIELDS]
    if unknown:
        raise InputError(f"no field {unknown[0]!r}; there are {' '.join(FLOW_FIELDS)}")
    if not {"x", "y", "z"} <= set(asked):
        raise InputError(f"x y z must be among the fields, not {names!r} alone")
    return tuple(name for name in FLOW_FIELDS if name in asked)


def encode_flow(
    cloud: PointCloud,
    flow: SceneFlow,
    fields: Sequence[str] = FLOW_FIELDS,
    moving_only: bool = False,
) -> PackedCloud:
    """Points with their velocity over ground in m/s (NaN unknown), moving flag and confidence.

    Args:
        fields: those wanted, in the order of ``FLOW_FIELDS``: x y z vx vy vz confidence float32,
            moving uint8. A point takes four bytes for each, 32 for all.
        moving_only: leave out the points that don't move.

    Raises:
        InputError: the flow isn't for these points (their numbers differ).
    """
    if len(cloud) != len(flow.flow):
        raise InputError(f"{len(cloud)} points but flow for {len(flow.flow)}")
    at = np.flatnonzero(flow.moving) if moving_only else slice(None)
    points, velocity, moving = cloud.points[at], flow.velocity[at], flow.moving[at]
    columns = dict(zip(FLOW_FIELDS, (*points.T, *velocity.T, flow.confidence[at]), strict=False))
    layout, step = _flow_layout(fields)
    floats = np.empty((len(points), len(fields)), "<f4")
    # column by column: a third of the time of three columns at once
    for i, name in enumerate(fields):
        floats[:, i] = columns.get(name, 0.0)
    data = floats.view(np.uint8)
    if "moving" in fields:
        data[:, 4 * fields.index("moving")] = moving
    dense = not {"vx", "vy", "vz"} & set(fields) or bool(np.isfinite(velocity).all())
    return PackedCloud(cloud.frame, layout, step, data.reshape(-1), len(points), dense)


def decode_flow(message: PointCloud2 | PackedCloud) -> FlowCloud:
    """Read back what ``encode_flow`` packed, whatever fields ``with_channels`` has put behind it.

    Raises:
        InputError: not a message of that layout.
    """
    layout = [(f.name, f.offset, f.datatype) for f in message.fields]
    basis, step = [(f.name, f.offset, f.datatype) for f in _FLOW_LAYOUT], int(message.point_step)
    if layout[: len(basis)] != basis:
        raise InputError("not a scene flow cloud: x y z vx vy vz confidence moving expected")
    data = np.frombuffer(message.data, np.uint8)
    if step < _FLOW_STEP or len(data) != message.width * step:
        raise InputError(f"scene flow cloud holds {len(data)} bytes for {message.width} points")
    records = np.ndarray((message.width,), _FLOW_TYPE, data, strides=(step,))
    return FlowCloud(
        records["position"].copy(),
        records["velocity"].copy(),
        records["moving"] != 0,
        records["confidence"].copy(),
    )


def with_channels(packed: PackedCloud, cloud: PointCloud) -> PackedCloud:
    """A packed cloud with its points' ``intensity`` float32 and ``ring`` uint16 as further fields,
    where they were read.

    Args:
        cloud: the points that were packed, in the same order.
    """
    channels = {"intensity": (cloud.intensity, FLOAT32), "ring": (cloud.ring, UINT16)}
    there = {name: both for name, both in channels.items() if both[0] is not None}
    if not there:
        return packed
    step = packed.point_step + 4 * len(there)
    data = np.zeros((packed.width, step), np.uint8)
    data[:, : packed.point_step] = packed.data.reshape(packed.width, packed.point_step)
    fields = list(packed.fields)
    for k, (name, (values, kind)) in enumerate(there.items()):
        field = PointField(name, packed.point_step + 4 * k, kind)
        dtype = np.dtype("<" + DATATYPES[kind])
        end = field.offset + dtype.itemsize
        column = np.ascontiguousarray(values, dtype).view(np.uint8)
        data[:, field.offset : end] = column.reshape(-1, dtype.itemsize)
        fields.append(field)
    dense = packed.is_dense
    return PackedCloud(packed.frame, tuple(fields), step, data.reshape(-1), packed.width, dense)


_POINT_FIELDS = tuple(PointField(name, 4 * i, FLOAT32) for i, name in enumerate("xyz"))
_TIME_FIELD = PointField("time", 12, FLOAT32)


def encode_points(cloud: PointCloud) -> PackedCloud:
    """Points as x y z float32, and ``time`` float32 (seconds from the stamp) where it is known."""
    if cloud.time is None:
        data = np.ascontiguousarray(cloud.points, "<f4").view(np.uint8).reshape(-1)
        return PackedCloud(cloud.frame, _POINT_FIELDS, 12, data, len(cloud), True)
    columns = np.empty((len(cloud), 4), "<f4")
    columns[:, :3] = cloud.points
    columns[:, 3] = cloud.time
    data = columns.view(np.uint8).reshape(-1)
    return PackedCloud(cloud.frame, (*_POINT_FIELDS, _TIME_FIELD), 16, data, len(cloud), True)
