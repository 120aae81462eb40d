"""Node ``depth_teacher``: in place of ``stereo_depth`` where a depth camera or a lidar teaches.

One camera's images in, and depth images or sweeps; the teacher's depth out, on the topics of
stereo, or an honest nothing. ``stereo/status`` says which sensor it is.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ssl_perception.config import PointsConfig
from ssl_perception.depth.seen import only_seen
from ssl_perception.depth.teacher.lidar import LidarTeacher
from ssl_perception.depth.teacher.source import make_teacher
from ssl_perception.errors import InputError
from ssl_perception.flow.online.ego_motion import SensorVelocity
from ssl_perception.flow.online.own_vehicle import own_points
from ssl_perception.flow.online.pose_buffer import PoseBuffer
from ssl_perception.io import odometry, sweep
from ssl_perception.io.bag_log import deserialise
from ssl_perception.io.camera import Camera
from ssl_perception.io.livox import CustomMessage
from ssl_perception.io.point_cloud2 import PointCloud2, stamp_ns
from ssl_perception.io.stereo_sync import Side, StereoSync
from ssl_perception_ros.camera_input import subscribe_images
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.points_input import points_type
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import DepthTeacherSettings
from ssl_perception_ros.transforms import Transforms


class Arrival(NamedTuple):
    """A sweep's PointCloud2, serialised, or an image, and its depth image if there is one; when it
    came, steady clock."""

    message: Image | CompressedImage | bytes
    depth: Image | CompressedImage | None
    seconds: float


class DepthTeacherNode(PerceptionNode):
    sections = (
        *("topics", "camera", "teacher", "camera_mount", "lidar_mount"),
        *("ego_motion", "flow", "online"),
    )
    own = DepthTeacherSettings

    def __init__(self) -> None:
        super().__init__("depth_teacher")

    def prepare(self) -> None:
        if self.config.teacher.source == "stereo":
            raise InputError(
                "teacher.source is stereo: run stereo_depth, or set it to lidar, depth"
            )
        self._points_kind, self._points_type = points_type(self.settings.points_type)
        self.health = Health("images", self.settings.timeout, self.seconds)
        depth = max(5, self.settings.queue)
        self.publish_on(DiagnosticArray, "stereo/status", depth)
        self.publish_on(Image, "stereo/confidence", depth)
        self.publish_on(CameraInfo, "stereo/camera_info", depth)
        self.publish_on(Image, "stereo/depth", depth)

    def begin(self) -> None:
        queue = self.settings.queue
        depth = max(5, queue)
        self._teacher = make_teacher(self.config)
        self._info: CameraInfo | None = None
        # a sweep must not push the image out that waits behind it
        self._work = self.work_on(self._answer, 2 * queue + 2)
        if isinstance(self._teacher, LidarTeacher):
            self._velocity = SensorVelocity(self.config.ego_motion, self.config.flow.max_gap)
            self._transforms = Transforms(self, self.settings.base_frame)
            self._mount = self.config.lidar_mount
            self._pose_buffer = PoseBuffer(self._mount)
            self._poses: deque[Odometry] = deque(maxlen=1000)
            self.subscribe(Odometry, "odom", self._poses.append, 100)
            self.subscribe(self._points_type, "points", self._take, depth, raw=True)
            self._camera = subscribe_images(self, "left/image_rect", self._take, depth)
        else:
            tolerance = round(self.config.topics.depth_tolerance * 1e9)
            self._sync = StereoSync(tolerance, max(10, queue))
            self._camera = self._listen("left", "left/image_rect", depth)
            self._listen("right", "left/depth", depth, "compressedDepth")
        self.subscribe(CameraInfo, "left/camera_info", self._take_info, depth)

    def _listen(self, side: Side, topic: str, depth: int, transport: str = "compressed") -> Camera:
        def image(message: Image) -> None:
            pair = self._sync.add(side, stamp_ns(message.header.stamp), message)
            if pair is not None:
                self._take(pair.left, pair.right)

        return subscribe_images(self, topic, image, depth, transport)

    def _take_info(self, message: CameraInfo) -> None:
        self._info = message

    def _take(
        self,
        message: Image | CompressedImage | bytes,
        depth: Image | CompressedImage | None = None,
    ) -> None:
        if not isinstance(message, bytes):
            self.health.input()
        self._work.offer(Arrival(message, depth, time.perf_counter()))

    def _answer(self, arrival: Arrival) -> None:
        if isinstance(arrival.message, bytes):
            self._add(deserialise(arrival.message, self._points_kind))
        elif self._info is None:
            self.health.refuse("no left/camera_info")
            self.complain(self.health.last_problem)
        else:
            self._publish(arrival, self._info)

    def _add(self, message: PointCloud2 | CustomMessage) -> None:
        """Show the sweep to the teacher, and where its sensor sits, if only ``tf_static`` says."""
        assert isinstance(self._teacher, LidarTeacher)
        cloud = sweep.decode(message, PointsConfig())
        own = own_points(cloud, self.config.online.vehicle)
        if own is not None:
            cloud = cloud.select(~own)
        pose = self._pose(message.header.frame_id, cloud.stamp)
        self._teacher.add(cloud, self._velocity.update(cloud, pose))
        if self._teacher.camera_from_lidar is None and self._info is not None:
            camera, lidar = self._info.header.frame_id, message.header.frame_id
            self._teacher.camera_from_lidar = self._transforms.tree.between(camera, lidar)

    def _pose(self, lidar: str, stamp: float) -> NDArray[np.float64] | None:
        """(4, 4) of the lidar in the odometry's frame; None: there is no odometry of this stamp."""
        mount = self._transforms.complete(self.config, lidar).lidar_mount
        if mount is not self._mount:
            self._mount = mount
            self._pose_buffer = PoseBuffer(mount)
        try:
            while self._poses:
                self._pose_buffer.add(odometry.decode(self._poses.popleft()))
        except InputError as error:
            self.complain(f"odom: {error}")
        return self._pose_buffer.pose(stamp)

    def _publish(self, arrival: Arrival, info: CameraInfo) -> None:
        assert not isinstance(arrival.message, bytes)
        stamp = stamp_ns(arrival.message.header.stamp)
        frame = self._camera.with_depth(arrival.message, info, stamp * 1e-9, arrival.depth)
        depth = only_seen(self._teacher.depth(frame), frame.seen)
        self.output.status(stamp, depth)
        self.output.confidence(stamp, depth)
        self.output.camera_info("stereo/camera_info", stamp, depth.camera)
        self.output.depth(stamp, depth)
        age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "age_s": f"{age:.3f}",
                "source": depth.cue.value,
                "trusted": depth.valid,
                "known_pixels": f"{np.isfinite(depth.depth).mean():.2f}",
            },
            "" if depth.valid else f"not trusted: {depth.reason}",
        )


def main() -> int:
    return run(DepthTeacherNode)


if __name__ == "__main__":
    raise SystemExit(main())
