"""The library's types as ROS messages and back, with their source's stamp to the nanosecond."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, PointField, Range
from std_msgs.msg import ColorRGBA, Header
from stereo_msgs.msg import DisparityImage
from visualization_msgs.msg import Marker, MarkerArray

from ssl_perception.errors import InputError
from ssl_perception.flow.online.tracking import MovingObject
from ssl_perception.io.images import PackedDisparity, PackedImage
from ssl_perception.io.point_cloud2 import PackedCloud, stamp_ns
from ssl_perception.types import CameraModel, Cue, ObstacleScan

CLEAR_ABOVE_MAX = 0.01  # m: what MAVROS turns into max_distance + 1 cm, PX4's word for "clear"
_MARKER_LIFE = Duration(nanosec=500_000_000)
_MOST_SECTORS = 100_000


def message_type(name: str) -> Any:
    """The class of ``package/msg/Type``; None when it isn't installed."""
    package, _, kind = name.partition("/msg/")
    try:
        return getattr(import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError, ValueError):
        return None


def header(stamp_ns: int, frame: str) -> Header:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame)


def _bytes(data: NDArray[np.uint8]) -> array[int]:
    # rclpy takes an array.array as it is; a NumPy array it would copy element by element
    packed = array("B")
    packed.frombytes(memoryview(data))
    return packed


def cloud(packed: PackedCloud, stamp_ns: int) -> PointCloud2:
    return PointCloud2(
        header=header(stamp_ns, packed.frame),
        height=packed.height,
        width=packed.width,
        fields=[
            PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count)
            for f in packed.fields
        ],
        is_bigendian=packed.is_bigendian,
        point_step=packed.point_step,
        row_step=packed.row_step,
        data=_bytes(packed.data),
        is_dense=packed.is_dense,
    )


def image(packed: PackedImage, stamp_ns: int) -> Image:
    return Image(
        header=header(stamp_ns, packed.frame),
        height=packed.height,
        width=packed.width,
        encoding=packed.encoding,
        is_bigendian=packed.is_bigendian,
        step=packed.step,
        data=_bytes(packed.data),
    )


def camera_info(camera: CameraModel, stamp_ns: int) -> CameraInfo:
    """Of a rectified camera."""
    k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    return CameraInfo(
        header=header(stamp_ns, camera.frame),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=k,
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0],
    )


def disparity(packed: PackedDisparity, stamp_ns: int) -> DisparityImage:
    return DisparityImage(
        header=header(stamp_ns, packed.image.frame),
        image=image(packed.image, stamp_ns),
        f=packed.f,
        t=packed.t,
        min_disparity=packed.min_disparity,
        max_disparity=packed.max_disparity,
        delta_d=packed.delta_d,
    )


def laser_scan(scan: ObstacleScan, stamp_ns: int, mavros: bool = False) -> LaserScan:
    """The scan, counter-clockwise and with REP 117's infinities; or as MAVROS reads it.

    MAVROS takes beams clockwise (FRD), and both NaN and Inf for unknown: clear becomes a finite
    value just above ``range_max``, too close becomes ``range_min``; unknown stays NaN.
    """
    ranges, angle_min = scan.ranges, scan.angle_min
    angle_max = scan.angle_min + scan.angle_increment * (len(ranges) - 1)
    if mavros:
        ranges = np.where(np.isposinf(ranges), scan.range_max + CLEAR_ABOVE_MAX, ranges)[::-1]
        ranges = np.where(np.isneginf(ranges), scan.range_min, ranges)
        angle_min, angle_max = -angle_max, -angle_min
    values = array("f")
    values.frombytes(np.ascontiguousarray(ranges, np.float32).tobytes())
    return LaserScan(
        header=header(stamp_ns, scan.frame),
        angle_min=angle_min,
        angle_max=angle_max,
        angle_increment=scan.angle_increment,
        range_min=scan.range_min,
        range_max=scan.range_max,
        ranges=values,
    )


def obstacle_scan(message: LaserScan) -> ObstacleScan:
    """A scan as REP 117 has it, from any node.

    Raises:
        InputError: it has no beams or too many, or angles and ranges that make no sense.
    """
    geometry = (message.angle_min, message.angle_increment, message.range_min, message.range_max)
    if not 0 < len(message.ranges) <= _MOST_SECTORS:
        raise InputError(f"LaserScan with {len(message.ranges)} ranges")
    if not np.isfinite(geometry).all() or message.angle_increment <= 0.0:
        raise InputError("LaserScan: angles must be finite and grow, ranges have finite limits")
    ranges = np.asarray(message.ranges, np.float32)
    return ObstacleScan(
        ranges,
        angle_min=message.angle_min,
        angle_increment=message.angle_increment,
        range_min=message.range_min,
        range_max=message.range_max,
        stamp=stamp_ns(message.header.stamp) * 1e-9,
        frame=message.header.frame_id,
        cue=Cue.NONE if np.isnan(ranges).all() else Cue.STEREO,
    )


def nearest_range(distance: float, width: float, scan: ObstacleScan, stamp_ns: int) -> Range:
    """The nearest obstacle within ``width`` radians ahead, m (REP 117: Inf clear, NaN unknown)."""
    return Range(
        header=header(stamp_ns, scan.frame),
        radiation_type=Range.INFRARED,  # neither kind fits a camera; this is the narrow one
        field_of_view=width,
        min_range=scan.range_min,
        max_range=scan.range_max,
        range=distance,
    )


def moving_objects(objects: Iterable[MovingObject], frame: str, stamp_ns: int) -> MarkerArray:
    """Per object a box, an arrow as long as it moves in a second, and its id and speed."""
    top = header(stamp_ns, frame)
    markers = [Marker(header=top, action=Marker.DELETEALL)]
    for moving in objects:
        x, y, z = (float(value) for value in moving.centre)
        vx, vy, vz = (float(value) for value in moving.velocity)
        speed = float(np.linalg.norm(moving.velocity))
        heading = Quaternion(z=float(np.sin(moving.yaw / 2)), w=float(np.cos(moving.yaw / 2)))

        def marker(kind: int, space: str, identity: int = moving.id, **what: Any) -> Marker:
            what.setdefault("pose", Pose(orientation=Quaternion(w=1.0)))
            return Marker(
                header=top, ns=space, id=identity, type=kind, lifetime=_MARKER_LIFE, **what
            )

        length, width, height = (max(0.05, float(value)) for value in moving.size)
        markers += [
            marker(
                Marker.CUBE,
                "box",
                pose=Pose(position=Point(x=x, y=y, z=z), orientation=heading),
                scale=Vector3(x=length, y=width, z=height),
                color=ColorRGBA(r=1.0, g=0.6, b=0.1, a=0.2 + 0.4 * float(moving.confidence)),
            ),
            marker(
                Marker.ARROW,
                "velocity",
                points=[Point(x=x, y=y, z=z), Point(x=x + vx, y=y + vy, z=z + vz)],
                scale=Vector3(x=0.1, y=0.25, z=0.3),
                color=ColorRGBA(r=0.9, g=0.1, b=0.1, a=0.9),
            ),
            marker(
                Marker.TEXT_VIEW_FACING,
                "label",
                pose=Pose(
                    position=Point(x=x, y=y, z=z + height / 2 + 0.5),
                    orientation=Quaternion(w=1.0),
                ),
                scale=Vector3(z=0.5),
                color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=0.9),
                text=f"{moving.id}: {speed:.1f} m/s, {moving.age:.1f} s",
            ),
        ]
    return MarkerArray(markers=markers)
