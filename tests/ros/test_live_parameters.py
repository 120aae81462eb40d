"""Parameters that may change while a node runs do, others are refused; QoS can be overridden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from ssl_perception.io.point_cloud2 import encode_points
from ssl_perception.types import PointCloud
from ssl_perception_ros import scene_flow
from ssl_perception_ros.component_container import create
from ssl_perception_ros.node import SUCCESS, PerceptionNode
from tests.ros.in_process import KeptMessages, listen

pytestmark = pytest.mark.ros

Start = Callable[..., PerceptionNode]
STAMP = 1_700_000_000_000_000_000
FIXED = "is read on configure: deactivate and clean up first"
BOX = {"front": 2.0, "rear": 2.0, "width": 2.0, "below": 1.0, "above": 0.5}


@pytest.fixture
def started(domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a node with ROS arguments in this process, as far as it goes."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    monkeypatch.setattr(scene_flow, "warm_up", lambda config: None)
    nodes: list[PerceptionNode] = []

    def start(name: str, *arguments: str) -> PerceptionNode:
        rclpy.init(args=["--ros-args", *arguments], domain_id=domain)
        nodes.append(create(name))
        SingleThreadedExecutor().add_node(nodes[0])
        if nodes[0].configure():
            nodes[0].activate()
        return nodes[0]

    yield start
    for node in nodes:
        node.close()
    rclpy.try_shutdown()


def change(node: PerceptionNode, **values: Any) -> str:
    """Set parameters together (``__`` for a dot); why that was refused, empty when it wasn't."""
    asked = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    result = node.set_parameters_atomically(asked)
    return "" if result.successful else str(result.reason)


def sweep() -> bytes:
    points = np.random.default_rng(0).uniform(-20, 20, (2000, 3)).astype(np.float32)
    kept = KeptMessages()
    kept.cloud("points", STAMP, encode_points(PointCloud(points, frame="lidar")))
    return kept.raw["points"][0]


def test_what_each_sweep_reads_anew_may_change_meanwhile(started: Start) -> None:
    node: Any = started("scene_flow")
    before = node._placed("lidar")
    assert not before.config.collision.has_footprint and node._doubt
    box = {f"collision__{size}": value for size, value in BOX.items()}
    assert change(node, **box, flow__deadline=0.03, timeout=2.0) == ""
    assert node._placed("lidar") is before, "sweeps and tracks are kept"
    assert before.config.collision.has_footprint and not node._doubt
    assert before.config.flow.deadline == before._flow.config.flow.deadline == 0.03
    assert node.health.timeout == 2.0
    assert change(node, flow_points="moving", flow_fields="x y z vx") == ""
    taken = listen(node, "scene_flow", "sensor_msgs/msg/PointCloud2")
    node._sweep(scene_flow.Arrival(sweep(), 0.0, 0.0))
    assert [field.name for field in taken[0].fields] == ["x", "y", "z", "vx"]
    assert taken[0].width == 0, "nothing moves in a first sweep"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"flow__method": "nsfp"},
            f"flow.method {FIXED}",
        ),
        ({"timeout": 1.0, "queue": 3}, f"queue {FIXED}"),
        ({"flow_fields": "x y speed"}, "no field 'speed'"),
        ({"collision__front": -1.0}, "collision.front"),
    ],
)
def test_what_may_not_change_is_refused_with_one_line(
    started: Start, values: dict[str, Any], line: str
) -> None:
    node: Any = started("scene_flow")
    before = node.config, node.settings
    reason = change(node, **values)
    assert line in reason and "\n" not in reason
    assert (node.config, node.settings) == before


def test_before_it_is_configured_everything_may_change(started: Start) -> None:
    node = started("scene_flow", "-p", "autostart:=false")
    assert change(node, queue=3, flow__method="nsfp") == ""
    assert node.trigger_configure() == SUCCESS
    assert (node.settings.queue, node.config.flow.method) == (3, "nsfp")


def test_qos_overrides_take_effect_on_what_they_name(started: Start) -> None:
    name = "qos_overrides./left/image_rect.subscription"
    node = started("mono_depth", "-p", f"{name}.reliability:=reliable", "-p", f"{name}.depth:=2")
    (image,) = (s for s in node.subscriptions if s.topic_name == "/left/image_rect")
    (info,) = (s for s in node.subscriptions if s.topic_name == "/left/camera_info")
    assert image.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert image.qos_profile.depth == 2
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert node.trigger_deactivate() == node.trigger_activate() == SUCCESS, "declared once"


def test_qos_that_does_not_exist_leaves_the_node_unconfigured(started: Start) -> None:
    override = "qos_overrides./mono/depth.publisher.reliability:=sometimes"
    node = started("mono_depth", "-p", override, "-p", "autostart:=false")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
