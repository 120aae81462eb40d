"""The library's types as ROS 2 messages, and bags of them.

Results carry their source's stamp. A simulated world's sensors go through here too, into a bag or
onto topics.
"""

from __future__ import annotations

import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from scipy.spatial.transform import Rotation

from ssl_perception.errors import InputError
from ssl_perception.io import images, point_cloud2
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.cue_status import CueStatus, TrustStatus
from ssl_perception.io.scan_encoding import (
    REP117,
    WHOLE_CIRCLE,
    Encoding,
    encoded_range,
    encoded_scan,
)
from ssl_perception.io.write import sweep, sync_folder, unfinished
from ssl_perception.types import (
    ActiveCue,
    CameraModel,
    Cue,
    DepthMap,
    MovingObject,
    ObstacleScan,
    Odometry,
    PointCloud,
    SceneFlow,
)

_ARROW, _CUBE, _TEXT = 0, 1, 9  # visualization_msgs/Marker
_ADD, _DELETE_ALL = 0, 3
_MARKER_LIFE_NS = 500_000_000
_NO_BYTES = np.empty(0, np.uint8)


class Output(ABC):
    """Takes the library's types, makes messages of them, and hands on the serialised bytes."""

    def __init__(self) -> None:
        self._types = typestore().types

    @abstractmethod
    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        """Take a message that is serialised already; ``kind`` is its type's full name."""

    # results

    def scene_flow(
        self,
        stamp_ns: int,
        cloud: PointCloud,
        flow: SceneFlow,
        fields: Sequence[str] = point_cloud2.FLOW_FIELDS,
        moving_only: bool = False,
    ) -> None:
        """``scene_flow``: points with velocity over ground; see ``point_cloud2.encode_flow``.
        Intensity and ring go with them where they were read."""
        packed = point_cloud2.encode_flow(cloud, flow, fields, moving_only)
        shown = cloud.select(flow.moving) if moving_only else cloud
        packed = point_cloud2.with_channels(packed, shown)
        self.cloud("scene_flow", stamp_ns, packed)

    def moving_points(self, stamp_ns: int, cloud: PointCloud) -> None:
        """``moving_points``."""
        self.cloud("moving_points", stamp_ns, point_cloud2.encode_points(cloud))

    def points_accumulated(self, stamp_ns: int, cloud: PointCloud) -> None:
        """``points_accumulated``: the last sweeps in the newest one's axes; ``time``: their age."""
        self.cloud("points_accumulated", stamp_ns, point_cloud2.encode_points(cloud))

    def time_to_collision(self, stamp_ns: int, seconds: float) -> None:
        """``time_to_collision``: Float32; +Inf nothing on course, NaN unknown."""
        self.write(
            "time_to_collision", stamp_ns, self.message("std_msgs/msg/Float32", data=seconds)
        )

    def depth(self, stamp_ns: int, depth: DepthMap) -> None:
        """``stereo/depth`` (the teacher's, whichever sensor it is) or ``mono/depth``: metres, NaN
        unknown."""
        packed = images.encode_depth(depth)
        self.image(f"{_cue_topics(depth.cue)}/depth", stamp_ns, packed)

    def disparity(
        self, stamp_ns: int, depth: DepthMap, baseline: float, disparities: float
    ) -> None:
        """``stereo/disparity``."""
        packed = images.encode_disparity(depth, baseline, disparities)
        message = self.message(
            "stereo_msgs/msg/DisparityImage",
            header=self.header(stamp_ns, packed.image.frame),
            image=self._image(stamp_ns, packed.image),
            f=packed.f,
            t=packed.t,
            valid_window=self._whole_image(),
            min_disparity=packed.min_disparity,
            max_disparity=packed.max_disparity,
            delta_d=packed.delta_d,
        )
        self.write("stereo/disparity", stamp_ns, message)

    def confidence(self, stamp_ns: int, depth: DepthMap) -> None:
        """``stereo/confidence``: mono8, see ``images.encode_confidence``."""
        packed = images.encode_confidence(depth)
        self.image(f"{_cue_topics(depth.cue)}/confidence", stamp_ns, packed)

    def status(self, stamp_ns: int, depth: DepthMap) -> None:
        """``stereo/status`` or ``mono/status``: whether to believe the depth, and why not."""
        status = CueStatus.of(depth)
        self.diagnostics(
            f"{_cue_topics(depth.cue)}/status",
            stamp_ns,
            f"{depth.cue.value} depth",
            "" if status.valid else status.reason or "invalid",
            status.values(),
        )

    def trust(self, stamp_ns: int, trust: TrustStatus) -> None:
        """``trust``: which cue obstacle distance comes from, why, and by what threshold."""
        nothing = trust.active_cue is ActiveCue.NONE
        values = {
            "active_cue": trust.active_cue.value,
            "reason": trust.reason,
            "trusted": "true" if trust.trusted else "false",
            "threshold": repr(trust.threshold),
            "overrides": str(trust.overrides),
            "teacher_suspect": "true" if trust.teacher_suspect else "false",
        }
        self.diagnostics("trust", stamp_ns, "trust", trust.reason if nothing else "", values)

    def diagnostics(
        self, topic: str, stamp_ns: int, name: str, error: str, values: Mapping[str, str]
    ) -> None:
        """A DiagnosticArray with one status.

        Args:
            error: what is wrong; empty: nothing.
        """
        types = self._types
        pairs = [types["diagnostic_msgs/msg/KeyValue"](key, text) for key, text in values.items()]
        level = 2 if error else 0  # ERROR, OK
        one = types["diagnostic_msgs/msg/DiagnosticStatus"](level, name, error, "", pairs)
        header = self.header(stamp_ns, "")
        array = self.message("diagnostic_msgs/msg/DiagnosticArray", header=header, status=[one])
        self.write(topic, stamp_ns, array)

    def lidar_obstacle_distance(
        self, stamp_ns: int, scan: ObstacleScan, encoding: Encoding = REP117
    ) -> None:
        """``lidar/obstacle_distance``: the lidar's scan alone, as ``obstacle_distance``."""
        self._scan("lidar/obstacle_distance", stamp_ns, encoded_scan(scan, encoding))

    def obstacle_distance(
        self,
        stamp_ns: int,
        scan: ObstacleScan,
        encoding: Encoding = REP117,
        view: float = WHOLE_CIRCLE,
    ) -> None:
        """``obstacle_distance``: LaserScan, counter-clockwise, REP 117; or as ``encoding`` has it.

        Its intensities are the closing speeds, m/s, NaN unknown; none where no cue measures them.

        Args:
            view: rad, see ``encoded_scan``.
        """
        self._scan("obstacle_distance", stamp_ns, encoded_scan(scan, encoding, view))

    def _scan(self, topic: str, stamp_ns: int, scan: ObstacleScan | None) -> None:
        if scan is None:
            return
        speeds = np.empty(0, np.float32) if scan.closing_speed is None else scan.closing_speed
        message = self.message(
            "sensor_msgs/msg/LaserScan",
            header=self.header(stamp_ns, scan.frame),
            angle_min=scan.angle_min,
            angle_max=scan.angle_min + scan.angle_increment * (len(scan.ranges) - 1),
            angle_increment=scan.angle_increment,
            time_increment=0.0,
            scan_time=0.0,
            range_min=scan.range_min,
            range_max=scan.range_max,
            ranges=np.ascontiguousarray(scan.ranges, np.float32),
            intensities=np.ascontiguousarray(speeds, np.float32),
        )
        self.write(topic, stamp_ns, message)

    def obstacle_range(
        self,
        stamp_ns: int,
        scan: ObstacleScan,
        distance: float,
        width: float,
        encoding: Encoding = REP117,
    ) -> None:
        """``obstacle_range``: Range, the nearest obstacle ahead, REP 117 (NaN unknown); or as its
        consumer needs it.

        Args:
            scan: that it is taken from.
            distance: m, ``nearest_ahead`` of the scan.
            width: rad, of the view ahead.
        """
        told = encoded_range(distance, scan.range_min, scan.range_max, encoding)
        if told is None:
            return
        message = self.message(
            "sensor_msgs/msg/Range",
            header=self.header(stamp_ns, scan.frame),
            radiation_type=1,  # infrared: neither kind fits a camera; this is the narrow one
            field_of_view=width,
            min_range=scan.range_min,
            max_range=scan.range_max,
            range=told,
            variance=0.0,
        )
        self.write("obstacle_range", stamp_ns, message)

    def moving_objects(self, stamp_ns: int, frame: str, objects: Iterable[MovingObject]) -> None:
        """``moving_objects``: MarkerArray; per object a box, its displacement in one second as an
        arrow, and a label with id, speed and age."""
        types = self._types
        header = self.header(stamp_ns, frame)

        def kind(name: str) -> Any:
            return types[f"geometry_msgs/msg/{name}"]

        point, vector, quaternion = kind("Point"), kind("Vector3"), kind("Quaternion")
        colour = types["std_msgs/msg/ColorRGBA"]
        upright = quaternion(0.0, 0.0, 0.0, 1.0)
        nowhere = kind("Pose")(point(0.0, 0.0, 0.0), upright)
        image = self.message(
            "sensor_msgs/msg/CompressedImage", header=header, format="", data=_NO_BYTES
        )

        def marker(shape: int, space: str, identity: int, **given: Any) -> Any:
            fields = {
                "pose": nowhere,
                "scale": vector(0.0, 0.0, 0.0),
                "color": colour(0.0, 0.0, 0.0, 0.0),
                "points": [],
                "text": "",
                "action": _ADD,
                **given,
            }
            return self.message(
                "visualization_msgs/msg/Marker",
                header=header,
                ns=space,
                id=identity,
                type=shape,
                lifetime=types["builtin_interfaces/msg/Duration"](0, _MARKER_LIFE_NS),
                frame_locked=False,
                colors=[],
                texture_resource="",
                texture=image,
                uv_coordinates=[],
                mesh_resource="",
                mesh_file=types["visualization_msgs/msg/MeshFile"]("", _NO_BYTES),
                mesh_use_embedded_materials=False,
                **fields,
            )

        markers = [marker(_CUBE, "", 0, action=_DELETE_ALL)]
        for moving in objects:
            x, y, z = (float(value) for value in moving.centre)
            end = (float(a + b) for a, b in zip(moving.centre, moving.velocity, strict=True))
            half = 0.5 * float(moving.yaw)
            heading = quaternion(0.0, 0.0, math.sin(half), math.cos(half))
            size = (max(0.05, float(value)) for value in moving.size)
            speed = float(np.linalg.norm(moving.velocity))
            above = z + max(0.05, float(moving.size[2])) / 2 + 0.5
            markers += [
                marker(
                    _CUBE,
                    "box",
                    moving.id,
                    pose=kind("Pose")(point(x, y, z), heading),
                    scale=vector(*size),
                    color=colour(1.0, 0.6, 0.1, 0.2 + 0.4 * float(moving.confidence)),
                ),
                marker(
                    _ARROW,
                    "velocity",
                    moving.id,
                    points=[point(x, y, z), point(*end)],
                    scale=vector(0.1, 0.25, 0.3),
                    color=colour(0.9, 0.1, 0.1, 0.9),
                ),
                marker(
                    _TEXT,
                    "label",
                    moving.id,
                    pose=kind("Pose")(point(x, y, above), upright),
                    scale=vector(0.0, 0.0, 0.5),
                    color=colour(1.0, 1.0, 1.0, 0.9),
                    text=f"{moving.id}: {speed:.1f} m/s, {moving.age:.1f} s",
                ),
            ]
        message = self.message("visualization_msgs/msg/MarkerArray", markers=markers)
        self.write("moving_objects", stamp_ns, message)

    # sensors, truth, and whatever else

    def cloud(self, topic: str, stamp_ns: int, packed: point_cloud2.PackedCloud) -> None:
        """A PointCloud2; ``encode_points`` and ``encode_flow`` pack one.

        The points' bytes, megabytes of them, are put between what is serialised before and after
        them: one copy.
        """
        field_type = self._types["sensor_msgs/msg/PointField"]
        message = self.message(
            "sensor_msgs/msg/PointCloud2",
            header=self.header(stamp_ns, packed.frame),
            height=packed.height,
            width=packed.width,
            fields=[field_type(f.name, f.offset, f.datatype, f.count) for f in packed.fields],
            is_bigendian=packed.is_bigendian,
            point_step=packed.point_step,
            row_step=packed.row_step,
            data=_NO_BYTES,
            is_dense=packed.is_dense,
        )
        kind = message.__msgtype__
        raw = typestore().serialize_cdr(message, kind)
        split = len(raw) - 5  # uint32, the number of bytes, and the flag after them
        count = len(packed.data).to_bytes(4, "little")
        parts = (raw[:split], count, packed.data.data, raw[-1:])
        self.write_raw(topic, stamp_ns, kind, b"".join(parts))

    def image(self, topic: str, stamp_ns: int, packed: images.PackedImage) -> None:
        """An Image; ``images.encode`` packs one."""
        self.write(topic, stamp_ns, self._image(stamp_ns, packed))

    def camera_info(
        self, topic: str, stamp_ns: int, camera: CameraModel, baseline: float = 0.0
    ) -> None:
        """The CameraInfo of a rectified camera; the right one of a pair says its baseline, m."""
        k = np.array([camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1.0])
        p = np.zeros((3, 4))
        p[:, :3] = k.reshape(3, 3)
        p[0, 3] = -camera.fx * baseline
        message = self.message(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(stamp_ns, camera.frame),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=k,
            r=np.eye(3).reshape(-1),
            p=p.reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=self._whole_image(),
        )
        self.write(topic, stamp_ns, message)

    def odometry(self, topic: str, stamp_ns: int, odometry: Odometry) -> None:
        """A pose; its covariance and twist are left at zero (unknown)."""
        position = odometry.world_from_body[:3, 3].tolist()
        quaternion = Rotation.from_matrix(odometry.world_from_body[:3, :3]).as_quat().tolist()
        types = self._types
        vector = types["geometry_msgs/msg/Vector3"]
        pose = types["geometry_msgs/msg/Pose"](
            types["geometry_msgs/msg/Point"](*position),
            types["geometry_msgs/msg/Quaternion"](*quaternion),
        )
        twist = types["geometry_msgs/msg/Twist"](vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0))
        unknown = np.zeros(36)
        message = self.message(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp_ns, odometry.frame),
            child_frame_id=odometry.child_frame,
            pose=types["geometry_msgs/msg/PoseWithCovariance"](pose, unknown),
            twist=types["geometry_msgs/msg/TwistWithCovariance"](twist, unknown),
        )
        self.write(topic, stamp_ns, message)

    def mounts(
        self, topic: str, stamp_ns: int, parent: str, poses: Mapping[str, NDArray[np.float64]]
    ) -> None:
        """A TFMessage: (4, 4) ``parent`` from each named frame."""
        types = self._types
        transforms = []
        for frame, pose in poses.items():
            x, y, z = pose[:3, 3].tolist()
            quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
            transforms.append(
                types["geometry_msgs/msg/TransformStamped"](
                    self.header(stamp_ns, parent),
                    frame,
                    types["geometry_msgs/msg/Transform"](
                        types["geometry_msgs/msg/Vector3"](x, y, z),
                        types["geometry_msgs/msg/Quaternion"](*quaternion),
                    ),
                )
            )
        self.write(topic, stamp_ns, self.message("tf2_msgs/msg/TFMessage", transforms=transforms))

    def message(self, kind: str, **fields: Any) -> Any:
        """A message of any standard type, e.g. ``message("std_msgs/msg/Float32", data=1.0)``."""
        return self._types[kind](**fields)

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Take a message; ``stamp_ns`` is its time in a bag."""
        kind = message.__msgtype__
        self.write_raw(topic, stamp_ns, kind, typestore().serialize_cdr(message, kind))

    def header(self, stamp_ns: int, frame: str) -> Any:
        """A std_msgs/Header."""
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        time = self._types["builtin_interfaces/msg/Time"](seconds, nanoseconds)
        return self._types["std_msgs/msg/Header"](time, frame)

    def _image(self, stamp_ns: int, packed: images.PackedImage) -> Any:
        return self.message(
            "sensor_msgs/msg/Image",
            header=self.header(stamp_ns, packed.frame),
            height=packed.height,
            width=packed.width,
            encoding=packed.encoding,
            is_bigendian=packed.is_bigendian,
            step=packed.step,
            data=packed.data,
        )

    def _whole_image(self) -> Any:
        return self._types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)


class OutputBag(Output):
    """An MCAP file in the making; use it as a context manager.

    It is written beside its final place under another name and takes its place only when all went
    well: a failure leaves nothing behind, and what was there before stays.

    Args:
        path: the .mcap file; one that exists is replaced.

    Raises:
        InputError: the name doesn't end in .mcap, the folder isn't there, or can't be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.suffix != ".mcap":
            raise InputError(f"{self.path}: the name of a bag must end in .mcap")
        if self.path.is_dir():
            raise InputError(f"{self.path}: is a folder")
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path.parent}: no such folder")
        super().__init__()
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> OutputBag:
        try:
            sweep(self.path.parent, self.path.name)
            self._folder = unfinished(self.path, "bag")
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from None
        try:
            # rosbags makes a folder with the file and its metadata in it; the file alone will do
            self._writer = Writer(
                self._folder / "bag",
                version=Writer.VERSION_LATEST,
                storage_plugin=StoragePlugin.MCAP,
            )
            # chunks are compressed: a true flow is mostly zeros, and clouds halve
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._writer.close()
                written = self._folder / "bag" / "bag.mcap"
                with written.open("rb") as file:
                    os.fsync(file.fileno())
                written.replace(self.path)
                sync_folder(self.path.parent)
            else:
                self._writer.abort()
        except OSError as failure:
            raise InputError(f"{self.path}: {failure.strerror or failure}") from error
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        """Append a message that is serialised already; ``kind`` is its type's full name.

        Raises:
            InputError: the disk is full, or gone.
        """
        name = "/" + topic.lstrip("/")
        if name not in self._connections:
            self._connections[name] = self._writer.add_connection(name, kind, typestore=typestore())
        try:
            self._writer.write(self._connections[name], stamp_ns, raw)
        except OSError as error:  # the disk is full, or gone
            raise InputError(f"{self.path}: {error.strerror or error}") from None


def _cue_topics(cue: Cue) -> str:
    """Below which name a cue's depth is published; who teaches in place of stereo takes its."""
    return "mono" if cue is Cue.MONO else "stereo"
