"""A bag that ``replay`` writes and the topics that the nodes publish are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rich.console import Console
from rosbags.rosbag2 import Reader

from ssl_perception.commands.replay import run_replay
from ssl_perception.config import preset
from ssl_perception.io import images
from ssl_perception.io.output import OutputBag
from ssl_perception.types import CameraModel
from ssl_perception_ros.bag_recorder import TYPES
from ssl_perception_ros.mono_depth import MonoDepthNode
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.obstacle_distance import ObstacleDistanceNode
from ssl_perception_ros.settings import BagRecorderSettings
from ssl_perception_ros.stereo_depth import StereoDepthNode

pytestmark = pytest.mark.ros

START = 1_700_000_000_000_000_000
CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5, "left_optical_frame")
BETWEEN_NODES = {"mono/generation"}  # which model the student has: no result about a frame


@pytest.fixture
def published(
    domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Topic and message type of all that the depth nodes publish, once configured."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    rclpy.init(domain_id=domain)
    try:
        kinds = {}
        for factory in (StereoDepthNode, MonoDepthNode, ObstacleDistanceNode):
            node: PerceptionNode = factory()
            node.trigger_configure()
            for topic, publisher in node.output.publishers.items():
                package, *_ = publisher.msg_type.__module__.partition(".msg")
                kinds[topic] = f"{package}/msg/{publisher.msg_type.__name__}"
            node.destroy_node()
        yield kinds
    finally:
        rclpy.try_shutdown()


@pytest.mark.parametrize("learn", [False, True])
def test_replay_writes_what_the_robot_publishes_for_stereo(
    learn: bool, published: dict[str, str], tmp_path: Path
) -> None:
    log, output = tmp_path / "log.mcap", tmp_path / "out.mcap"
    with OutputBag(log) as bag:
        for k in range(15):
            stamp = START + k * 100_000_000
            texture = np.random.default_rng(k).integers(0, 256, (240, 328), dtype=np.uint8)
            bag.camera_info("left/camera_info", stamp, CAMERA)
            bag.camera_info("right/camera_info", stamp, CAMERA, 0.1)
            bag.image("left/image_rect", stamp, images.encode(texture[:, :320], "mono8"))
            bag.image("right/image_rect", stamp, images.encode(texture[:, 8:], "mono8"))
    console = Console(quiet=True)
    run_replay(log, output, preset("drone"), None, None, False, None, console, learn=learn)
    with Reader(output) as reader:
        written = {c.topic.lstrip("/"): c.msgtype for c in reader.connections}
    expected = {
        topic: kind
        for topic, kind in published.items()
        if topic not in BETWEEN_NODES and (learn or not topic.startswith("mono/"))
    }
    assert written == expected
    assert set(written) <= set(BagRecorderSettings().outputs.split())


def test_the_recorder_and_the_documentation_know_every_topic_that_the_depth_nodes_publish(
    published: dict[str, str],
) -> None:
    documented = (Path(__file__).resolve().parents[2] / "docs" / "ros.md").read_text()
    for topic, kind in published.items():
        assert f"`{topic}`" in documented, topic
        known = TYPES[topic]
        assert f"{known.__module__.partition('.')[0]}/msg/{known.__name__}" == kind
