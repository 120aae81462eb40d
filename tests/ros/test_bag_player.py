"""``bag_player``: recorded QoS, and for whom a recording waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from std_msgs.msg import Float32

from ssl_perception.io.bag_log import typestore
from ssl_perception.runtime.ros_processes import Nodes

pytestmark = pytest.mark.ros

START = 180.0
FOREVER = QosTime(2**31 - 1, 2**32 - 1)


@pytest.fixture
def listener(domain: int) -> Iterator[Node]:
    rclpy.init(domain_id=domain)
    node = rclpy.create_node("listener")
    yield node
    rclpy.try_shutdown()


def recording(path: Path, topic: str, durability: QosDurability) -> Path:
    """One Float32."""
    profile = Qos(
        QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, durability,
        FOREVER, FOREVER, QosLiveliness.AUTOMATIC, FOREVER, False,
    )  # fmt: skip
    kind = "std_msgs/msg/Float32"
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        connection = bag.add_connection(
            topic, kind, typestore=typestore(), offered_qos_profiles=[profile]
        )
        message = typestore().types[kind](7.0)
        bag.write(connection, 10**18, typestore().serialize_cdr(message, kind))
    return path


def spin_until(node: Node, done: Callable[[], object], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        rclpy.spin_once(node, timeout_sec=0.05)
    return bool(done())


def listen(node: Node, topic: str, durability: DurabilityPolicy) -> list[float]:
    heard: list[float] = []
    qos = QoSProfile(depth=5, durability=durability, reliability=ReliabilityPolicy.RELIABLE)
    node.create_subscription(Float32, topic, lambda message: heard.append(message.data), qos)
    return heard


@pytest.mark.parametrize(
    ("topic", "durability", "latched"),
    [
        ("/map_scale", QosDurability.TRANSIENT_LOCAL, True),
        ("/tf_static", QosDurability.VOLATILE, True),
        ("/speed", QosDurability.VOLATILE, False),
    ],
)
def test_what_was_latched_is_latched_again(
    nodes: Nodes, listener: Node, tmp_path: Path, topic: str, durability: QosDurability,
    latched: bool,
) -> None:  # fmt: skip
    bag = recording(tmp_path / "bag", topic, durability)
    nodes.start("bag_player", {"bag": str(bag), "wait": 0.0, "linger": 60.0})
    nodes.ready(START)
    time.sleep(4.0)  # it has been played to nobody
    heard = listen(listener, topic, DurabilityPolicy.TRANSIENT_LOCAL)
    assert spin_until(listener, lambda: heard, 20.0 if latched else 3.0) is latched
    assert nodes.failures() == {}


def test_a_bystander_does_not_start_the_recording(
    nodes: Nodes, listener: Node, tmp_path: Path
) -> None:
    bag = recording(tmp_path / "bag", "/speed", QosDurability.VOLATILE)
    heard = listen(listener, "/speed", DurabilityPolicy.VOLATILE)
    wanted = {"bag": str(bag), "wait": 120.0, "readers": "obstacle_distance"}
    nodes.start("bag_player", wanted)
    nodes.ready(START)
    assert not spin_until(listener, lambda: heard, 4.0), "played for a bystander"
    nodes.start("obstacle_distance")
    assert spin_until(listener, lambda: heard, 60.0), "its reader is there"
    assert nodes.failures() == {}
