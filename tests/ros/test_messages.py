"""ROS 2's own message classes and bytes agree with what the library reads and writes."""

from __future__ import annotations

import time
from array import array
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, PointField
from stereo_msgs.msg import DisparityImage

from ssl_perception.config import CameraConfig
from ssl_perception.depth.trust.state import Trust
from ssl_perception.errors import InputError
from ssl_perception.io import images, laser_scan, odometry, point_cloud2
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.camera import StereoCamera
from ssl_perception.io.camera_info import camera_model
from ssl_perception.io.output import Output, OutputBag
from ssl_perception.io.scan_encoding import CONSUMERS, ConsumerName
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    MovingObject,
    ObstacleScan,
    Odometry,
    PointCloud,
    SceneFlow,
)
from ssl_perception_ros.messages import message_type
from ssl_perception_ros.topic_output import TopicOutput

pytestmark = pytest.mark.ros

STAMP = 1_700_000_000_123_456_789
CAMERA = CameraModel(4, 3, 50.0, 50.0, 2.0, 1.5, "optical")
ONES = np.ones((50, 4), np.float32)
CLOUD = PointCloud(
    np.random.default_rng(0).normal(0, 9, (50, 3)).astype(np.float32),
    np.linspace(0, 0.1, 50, dtype=np.float32),
    0.0,
    "lidar",
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
    data.frombytes(packed.data.tobytes())
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
    pair = StereoCamera("left/image_rect", "right/image_rect", CameraConfig()).read(
        image, image, left, right, 1.0
    )
    assert pair.camera == CAMERA
    assert pair.baseline == pytest.approx(0.2)


def test_real_odometry_is_decoded() -> None:
    message = OdometryMessage()
    message.pose.pose.orientation.w = 1.0
    message.pose.pose.position.x = 3.0
    assert odometry.decode(message).world_from_body[0, 3] == 3.0


def test_ros_reads_what_the_output_bag_writes(tmp_path: Path) -> None:
    flow = SceneFlow(ONES[:, :3], np.ones(50, bool), ONES[:, 0], 0.1)
    depth = DepthMap(np.full((3, 4), 2.0, np.float32), CAMERA)
    pose = np.eye(4)
    pose[0, 3] = 3.0
    with OutputBag(tmp_path / "out.mcap") as bag:
        bag.scene_flow(STAMP, CLOUD, flow)
        bag.depth(STAMP, depth)
        bag.disparity(STAMP, depth, 0.2, 64.0)
        bag.obstacle_distance(STAMP, ObstacleScan(np.ones(72, np.float32), 0.0, 0.1, 0.2, 40.0))
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
    assert camera_model(messages["/left/camera_info"]) == CAMERA
    assert odometry.decode(messages["/odom"]).world_from_body[0, 3] == 3.0


def test_a_scan_from_elsewhere_is_checked() -> None:
    good = {"angle_min": -3.1, "angle_increment": 0.1, "range_max": 8.0, "ranges": [1.0] * 62}
    assert len(laser_scan.decode(LaserScan(**good)).ranges) == 62
    changes: list[dict[str, Any]] = [
        {"ranges": []},
        {"angle_increment": 0.0},
        {"angle_min": float("nan")},
    ]
    for change in changes:
        bad = LaserScan(**{**good, **change})
        with pytest.raises(InputError, match="LaserScan"):
            laser_scan.decode(bad)


class KeptOutput(Output):
    """Keeps what it is given, as a bag writes it: serialised messages by topic."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: dict[str, tuple[str, bytes]] = {}

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        self.raw[topic] = (kind, bytes(raw))


def write_results(output: Output, consumer: ConsumerName) -> None:
    """Each kind of message that the nodes publish, with no field left at its default."""
    ranges = np.linspace(0.3, 39.0, 72, dtype=np.float32)
    ranges[:3] = np.nan, np.inf, -np.inf
    scan = ObstacleScan(ranges, -3.1, 0.0873, 0.2, 40.0, STAMP * 1e-9, "body")
    values = np.linspace(0.5, 9.0, 12, dtype=np.float32).reshape(3, 4)
    values[0, 0] = np.nan
    confidence = np.linspace(0.0, 1.0, 12, dtype=np.float32).reshape(3, 4)
    depth = DepthMap(values, CAMERA, 1.0, Cue.STEREO, True, "", confidence=confidence)
    invalid = DepthMap(values, CAMERA, 1.0, Cue.MONO, False, "too novel", novelty=1 / 3)
    centre, size, velocity = np.array([[5.0, 1.0, 0.5], [4.0, 1.8, 1.5], [3.0, -1.0, 0.0]])
    moving = MovingObject(7, centre, size, 0.3, velocity, np.arange(5), 1.5, 0.9)
    flow = SceneFlow(ONES[:, :3], np.ones(50, bool), ONES[:, 0], 0.1)
    output.scene_flow(STAMP, CLOUD, flow)
    output.moving_points(STAMP, CLOUD)
    output.moving_objects(STAMP, "lidar", [moving])
    output.time_to_collision(STAMP, 2.5)
    output.depth(STAMP, depth)
    output.confidence(STAMP, depth)
    output.disparity(STAMP, depth, 0.2, 64.0)
    output.camera_info("stereo/camera_info", STAMP, CAMERA, 0.2)
    output.status(STAMP, depth)
    output.status(STAMP, invalid)
    output.trust(STAMP, Trust(reason="stereo is frozen", threshold=1.1, overrides=3))
    output.obstacle_distance(STAMP, scan, CONSUMERS[consumer].scan)
    output.lidar_obstacle_distance(STAMP, scan, CONSUMERS[consumer].scan)
    output.obstacle_range(STAMP, scan, 2.0, 0.35, CONSUMERS[consumer].range)
    pose = np.eye(4)
    pose[:3, 3] = 1.0, 2.0, 3.0
    output.odometry("odom", STAMP, Odometry(pose, 0.0, "odom", "base_link"))


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_published_message_is_the_bags_message_byte_for_byte(
    consumer: ConsumerName, domain: int
) -> None:
    kept, published = KeptOutput(), TopicOutput()
    write_results(kept, consumer)
    assert len(kept.raw) == 15
    heard: dict[str, bytes] = {}
    rclpy.init(domain_id=domain)
    try:
        node = rclpy.create_node("listener")
        for topic, (kind, _) in kept.raw.items():
            message_class = message_type(kind)
            published.publishers[topic] = node.create_publisher(message_class, topic, 10)
            node.create_subscription(
                message_class, topic, partial(heard.__setitem__, topic), 10, raw=True
            )
        end = time.monotonic() + 30.0
        while any(node.count_subscribers(topic) < 1 for topic in kept.raw):
            assert time.monotonic() < end
            rclpy.spin_once(node, timeout_sec=0.05)
        write_results(published, consumer)
        while heard.keys() != kept.raw.keys():
            assert time.monotonic() < end, kept.raw.keys() - heard.keys()
            rclpy.spin_once(node, timeout_sec=0.05)
    finally:
        rclpy.try_shutdown()
    for topic, (kind, raw) in kept.raw.items():
        assert bytes(heard[topic]) == raw, topic
        # And it is what ROS itself makes of the same message; reading and writing it once more
        # clears the bytes between fields, which ROS leaves as they were in memory.
        by_ros = through_rosbags(deserialize_message(raw, message_type(kind)), kind)
        assert bytes(typestore().serialize_cdr(by_ros, kind)) == raw, topic


def test_what_has_no_publisher_is_left_out() -> None:
    write_results(TopicOutput(), "rep117")


def test_a_mavros_scan_is_clockwise_and_never_infinite() -> None:
    scans = []
    consumers: list[ConsumerName] = ["rep117", "mavros"]
    for consumer in consumers:
        kept = KeptOutput()
        write_results(kept, consumer)
        scans.append(deserialize_message(kept.raw["obstacle_distance"][1], LaserScan))
    rep117, mavros_scan = scans
    assert mavros_scan.angle_min == pytest.approx(-rep117.angle_max)
    assert mavros_scan.angle_max == pytest.approx(-rep117.angle_min)
    unknown, clear, close, *rest = rep117.ranges
    assert np.isnan(unknown) and np.isposinf(clear) and np.isneginf(close)
    *back, near, far, nothing = mavros_scan.ranges
    assert np.isnan(nothing), "unknown is never free"
    assert far == pytest.approx(rep117.range_max + 0.01) and near == pytest.approx(0.2)
    assert back == rest[::-1]


def through_rosbags(message: Any, kind: str) -> Any:
    """The message as ROS serialises it and rosbags reads it."""
    return typestore().deserialize_cdr(serialize_message(message), kind)
