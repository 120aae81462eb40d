"""What the nodes take from /tf_static, and from odometry. ``tf2_msgs`` isn't among the wheels: a
message of the same definition is passed to the subscribers' callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from scipy.spatial.transform import Rotation

from ssl_perception.io.output import Output
from ssl_perception.io.point_cloud2 import encode_points
from ssl_perception.types import CameraModel, Cue, DepthMap, Odometry, PointCloud
from ssl_perception_ros import messages, obstacle_distance, transforms
from ssl_perception_ros.depth_teacher import DepthTeacherNode
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.obstacle_distance import ObstacleDistanceNode
from ssl_perception_ros.scene_flow import SceneFlowNode
from tests.ros.in_process import KeptMessages, listen

pytestmark = pytest.mark.ros

STAMP = 1_700_000_000_000_000_000
CAMERA = CameraModel(80, 60, 52.0, 52.0, 39.5, 29.5, "left_optical_frame")
OPTICAL = Rotation.from_euler("ZYX", [-np.pi / 2, 0.0, -np.pi / 2]).as_matrix()
TF = "tf2_msgs/msg/TFMessage"

Start = Callable[..., tuple[Any, list[Callable[[Any], None]]]]


def pose(xyz: tuple[float, float, float], **angles: float) -> NDArray[np.float64]:
    found = np.eye(4)
    ordered = [angles.get(name, 0.0) for name in ("yaw", "pitch", "roll")]
    found[:3, :3] = Rotation.from_euler("ZYX", ordered).as_matrix()
    found[:3, 3] = xyz
    return found


@pytest.fixture
def started(domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a node in this process; gives it, and its callbacks for /tf_static."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    monkeypatch.setattr("ssl_perception_ros.scene_flow.warm_up", lambda config: None)
    nodes: list[PerceptionNode] = []
    readers: list[Callable[[Any], None]] = []
    subscribe, publish_on = PerceptionNode.subscribe, PerceptionNode.publish_on

    def subscribe_to(
        self: Any, kind: Any, topic: str, callback: Any, *rest: Any, **more: Any
    ) -> None:
        if kind is not object:
            subscribe(self, kind, topic, callback, *rest, **more)
            return
        assert topic == "/tf_static" and more["latched"]
        readers.append(self.guarded(callback))

    def publish(self: Any, kind: Any, topic: str, *rest: Any, **more: Any) -> Any:
        return None if kind is object else publish_on(self, kind, topic, *rest, **more)

    def message_type(name: str) -> Any:
        return object if name == TF else messages.message_type(name)

    for module in (transforms, obstacle_distance):
        monkeypatch.setattr(module, "message_type", message_type)
    monkeypatch.setattr(PerceptionNode, "subscribe", subscribe_to)
    monkeypatch.setattr(PerceptionNode, "publish_on", publish)

    def start(kind: type[PerceptionNode], *arguments: str) -> Any:
        rclpy.init(args=["--ros-args", *arguments], domain_id=domain)
        nodes.append(kind())  # type: ignore[call-arg]
        SingleThreadedExecutor().add_node(nodes[0])
        assert nodes[0].configure() and nodes[0].activate()
        return nodes[0], readers

    yield start
    for node in nodes:
        node.close()
    rclpy.try_shutdown()


def told(write: Callable[[Output], None]) -> Any:
    kept = KeptMessages()
    write(kept)
    ((message,),) = kept.messages.values()
    return message


def placed(parent: str, **poses: NDArray[np.float64]) -> Any:
    return told(lambda output: output.mounts("tf_static", STAMP, parent, poses))


def soon(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_camera_tilted_by_tf_is_levelled_and_the_level_frame_is_in_tf(started: Start) -> None:
    node, readers = started(ObstacleDistanceNode)
    scans = listen(node, "obstacle_distance", "sensor_msgs/msg/LaserScan")
    frames = listen(node, "tf_static", TF)
    node._infos[Cue.STEREO] = told(lambda o: o.camera_info("info", STAMP, CAMERA))

    def see(k: int) -> Any:
        """A wall 5 m along the optical axis, whatever the camera's tilt."""
        stamp, before = STAMP + k * 100_000_000, len(scans)
        depth = DepthMap(np.full((60, 80), 5.0, np.float32), CAMERA, stamp * 1e-9)
        node._take("stereo/depth", told(lambda o: o.depth(stamp, depth)))
        soon(lambda: len(scans) > before)
        return next(s for s in scans[before:] if s.header.stamp.nanosec == stamp % 10**9)

    untold = see(0)
    assert untold.header.frame_id == "left_frame" and not frames
    optical = np.eye(4)
    optical[:3, :3] = OPTICAL
    looking = pose((0.4, 0.0, 0.8), yaw=0.3, pitch=0.2)
    readers[0](placed("base_link", left_frame=looking))
    readers[0](placed("left_frame", left_optical_frame=optical))
    levelled = see(1)
    assert levelled.header.frame_id == "left_optical_frame_level"
    assert node._mounted.scan.camera_pitch == pytest.approx(0.2)
    nearest = np.nanmin(levelled.ranges[np.isfinite(levelled.ranges)])
    assert nearest < np.nanmin(untold.ranges[np.isfinite(untold.ranges)]) - 0.05
    ((transform,),) = (message.transforms for message in frames)
    assert transform.header.frame_id == "base_link"
    assert transform.child_frame_id == "left_optical_frame_level"
    t, q = transform.transform.translation, transform.transform.rotation
    assert (t.x, t.y, t.z) == pytest.approx((0.4, 0.0, 0.8))
    assert Rotation.from_quat([q.x, q.y, q.z, q.w]).as_euler("ZYX") == pytest.approx((0.3, 0, 0))


def test_the_lidars_mount_comes_from_tf_where_no_setting_says_it(started: Start) -> None:
    node, readers = started(SceneFlowNode, "-p", "base_frame:=chassis")
    first = node._placed("lidar")
    readers[0](placed("base_link", lidar=pose((0.0, 0.0, 9.0))))
    assert node._placed("lidar") is first, "another robot's"
    readers[0](placed("chassis", lidar=pose((0.5, 0.0, 1.2), roll=0.3)))
    found = node._placed("lidar").config.lidar_mount
    assert (found.x, found.z, found.roll) == pytest.approx((0.5, 1.2, 0.3))
    assert node._placed("lidar") is node._placed("lidar") is not first


def test_a_mount_that_is_set_stays(started: Start) -> None:
    node, readers = started(SceneFlowNode, "-p", "lidar_mount.z:=1.7")
    first = node._placed("lidar")
    readers[0](placed("base_link", lidar=pose((0.5, 0.0, 1.2))))
    assert node._placed("lidar") is first


def test_depth_teacher_takes_the_lidars_velocity_from_odometry(started: Start) -> None:
    """The same sweep twice: registered, nothing would move."""
    node, readers = started(DepthTeacherNode, "-p", "teacher.source:=lidar")
    readers[0](placed("base_link", lidar=pose((0.0, 0.0, 1.0), yaw=np.pi / 2)))
    points = np.random.default_rng(0).uniform(-9, 9, (3000, 3)).astype(np.float32)
    sent = KeptMessages()
    for k in range(4):
        body = Odometry(pose((0.1 * k, 0.0, 0.0)), 0.0, "odom", "base_link")
        sent.odometry("odom", STAMP + k * 50_000_000, body)
    for k in (0, 1):
        stamp = STAMP + 25_000_000 + k * 100_000_000
        sent.cloud("points", stamp, encode_points(PointCloud(points, frame="lidar")))
    node._poses.extend(sent.messages["odom"])
    for message in sent.messages["points"]:
        node._add(message)
    # 2 m/s ahead, which is to the right of a lidar that looks left; stamps are float64 of an epoch
    assert node._velocity._motion.twist == pytest.approx([0, -2, 0, 0, 0, 0], abs=1e-4)
