"""Fifty times to life and back: nothing is left behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from ssl_perception.runtime.resident_memory import resident_megabytes
from ssl_perception_ros import scene_flow
from ssl_perception_ros.component_container import create
from ssl_perception_ros.node import SUCCESS, PerceptionNode

pytestmark = pytest.mark.ros

ROUNDS = 50
NODES = ("scene_flow", "stereo_depth", "mono_depth", "obstacle_distance", "avoid")


@pytest.fixture
def context(domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    monkeypatch.setattr(scene_flow, "warm_up", lambda config: None)
    rclpy.init(domain_id=domain)
    yield
    rclpy.try_shutdown()


def possessions(node: PerceptionNode) -> dict[str, int]:
    kinds = ("subscriptions", "publishers", "timers", "services", "clients", "guards")
    found = {kind: len(list(getattr(node, kind))) for kind in kinds}
    found["managed"] = len(node._managed_entities)
    found["threads"] = threading.active_count()
    found["native threads"] = len([*Path("/proc/self/task").iterdir()])
    found["files"] = len([*Path("/proc/self/fd").iterdir()])
    return found


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize(
    "name", ["scene_flow", "stereo_depth", "mono_depth", "obstacle_distance", "avoid"]
)
def test_fifty_rounds_leave_nothing_behind(name: str) -> None:
    node, executor = create(name), SingleThreadedExecutor()
    executor.add_node(node)
    held, memory = {}, 0.0
    for turn in range(ROUNDS):
        assert node.trigger_configure() == node.trigger_activate() == SUCCESS
        executor.spin_once(timeout_sec=0.0)
        assert node.trigger_deactivate() == node.trigger_cleanup() == SUCCESS
        if turn == 4:  # what is made once has been made
            gc.collect()
            held, memory = possessions(node), resident_megabytes()
    gc.collect()
    assert possessions(node) == held
    assert resident_megabytes() - memory < 4.0
    node.close()
    executor.shutdown()
