"""ROS 2's own message classes and bytes agree with what the library reads and writes."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, PointField
from stereo_msgs.msg import DisparityImage

from ssl_perception.errors import InputError
from ssl_perception.io import images, odometry, point_cloud2
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.output import OutputBag
from ssl_perception.runtime.ros_processes import SOURCE
from ssl_perception.types import (
    CameraModel,
    DepthMap,
    ObstacleScan,
    Odometry,
    PointCloud,
    SceneFlow,
)

pytestmark = pytest.mark.ros

STAMP = 1_700_000_000_123_456_789
CAMERA = CameraModel(4, 3, 50.0, 50.0, 2.0, 1.5, "optical")
CLOUD = PointCloud(
    np.random.default_rng(0).normal(0, 9, (50, 3)), np.linspace(0, 0.1, 50), 0.0, "lidar"
)


def test_real_messages_are_decoded() -> None:
    packed = point_cloud2.encode_points(CLOUD)
    message = PointCloud2(
        height=packed.height,
        width=packed.width,
        point_step=packed.point_step,
        row_step=packed.row_step,
        is_dense=packed.is_dense,
        fields=[
            PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count)
            for f in packed.fields
        ],
    )
    message.header.frame_id = packed.frame
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(STAMP, 1_000_000_000)
    data = array("B")
    data.frombytes(packed.data)
    message.data = data
    assert point_cloud2.stamp_ns(message.header.stamp) == STAMP
    for sent in (message, through_rosbags(message, "sensor_msgs/msg/PointCloud2")):
        cloud = point_cloud2.decode(sent)
        np.testing.assert_array_equal(cloud.points, CLOUD.points)
        np.testing.assert_array_equal(cloud.time, CLOUD.time)
        assert cloud.frame == "lidar"


def test_real_images_and_cameras_are_decoded() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image(height=3, width=4, encoding="mono8", step=4, data=array("B", pixels.tobytes()))
    np.testing.assert_array_equal(images.camera_image(image), pixels)
    left, right = CameraInfo(height=3, width=4), CameraInfo(height=3, width=4)
    left.p = [50.0, 0, 2.0, 0, 0, 50.0, 1.5, 0, 0, 0, 1, 0]
    right.p = [50.0, 0, 2.0, -10.0, 0, 50.0, 1.5, 0, 0, 0, 1, 0]
    left.header.frame_id = "optical"
    pair = images.stereo_pair(image, image, left, right, 1.0)
    assert pair.camera == CAMERA
    assert pair.baseline == pytest.approx(0.2)


def test_real_odometry_is_decoded() -> None:
    message = OdometryMessage()
    message.pose.pose.orientation.w = 1.0
    message.pose.pose.position.x = 3.0
    assert odometry.decode(message).world_from_body[0, 3] == 3.0


def test_ros_reads_what_the_output_bag_writes(tmp_path: Path) -> None:
    flow = SceneFlow(np.ones((50, 3)), np.ones(50, bool), np.ones(50), 0.1)
    depth = DepthMap(np.full((3, 4), 2.0), CAMERA)
    pose = np.eye(4)
    pose[0, 3] = 3.0
    with OutputBag(tmp_path / "out.mcap") as bag:
        bag.scene_flow(STAMP, CLOUD, flow)
        bag.depth(STAMP, depth)
        bag.disparity(STAMP, depth, 0.2, 64.0)
        bag.obstacle_distance(STAMP, ObstacleScan(np.ones(72), 0.0, 0.1, 0.2, 40.0))
        bag.camera_info("left/camera_info", STAMP, CAMERA)
        bag.odometry("odom", STAMP, Odometry(pose, 0.0, "odom", "base_link"))
    kinds = {
        "/scene_flow": PointCloud2,
        "/stereo/depth": Image,
        "/stereo/disparity": DisparityImage,
        "/obstacle_distance": LaserScan,
        "/left/camera_info": CameraInfo,
        "/odom": OdometryMessage,
    }
    messages: dict[str, Any] = {}
    with Reader(tmp_path / "out.mcap") as reader:
        for connection, _, raw in reader.messages():
            message = deserialize_message(bytes(raw), kinds[connection.topic])
            assert point_cloud2.stamp_ns(message.header.stamp) == STAMP
            messages[connection.topic] = message
    assert messages.keys() == kinds.keys()
    back = point_cloud2.decode_flow(messages["/scene_flow"])
    np.testing.assert_array_equal(back.points, CLOUD.points)
    np.testing.assert_array_equal(back.velocity, flow.velocity)
    np.testing.assert_array_equal(images.decode_depth(messages["/stereo/depth"]), depth.depth)
    assert messages["/stereo/disparity"].t == pytest.approx(0.2)
    assert len(messages["/obstacle_distance"].ranges) == 72
    assert images.camera_model(messages["/left/camera_info"]) == CAMERA
    assert odometry.decode(messages["/odom"]).world_from_body[0, 3] == 3.0


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The nodes' module, gone again afterwards: processes must find the package by themselves."""
    monkeypatch.syspath_prepend(SOURCE)
    yield import_module("ssl_perception_ros.messages")
    for name in [name for name in sys.modules if name.startswith("ssl_perception_ros")]:
        del sys.modules[name]


def test_a_scan_from_elsewhere_is_checked(messages: Any) -> None:
    good = {"angle_min": -3.1, "angle_increment": 0.1, "range_max": 8.0, "ranges": [1.0] * 62}
    assert len(messages.obstacle_scan(LaserScan(**good)).ranges) == 62
    for change in ({"ranges": []}, {"angle_increment": 0.0}, {"angle_min": float("nan")}):
        bad = LaserScan(**{**good, **change})
        with pytest.raises(InputError, match="LaserScan"):
            messages.obstacle_scan(bad)


def through_rosbags(message: Any, kind: str) -> Any:
    """The message as ROS serialises it and rosbags reads it."""
    return typestore().deserialize_cdr(serialize_message(message), kind)
