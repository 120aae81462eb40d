"""Timeouts count in simulated time: a world that runs slowly isn't a silent one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import LaserScan

from ssl_perception.types import Cue, ObstacleScan
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.obstacle_distance import ObstacleDistanceNode
from ssl_perception_ros.topic_output import TopicOutput

pytestmark = pytest.mark.ros

STEP = 2 * np.pi / 72
STAMP = 1_700_000_000_000_000_000
FRAME = 100_000_000  # ns of the world from scan to scan


def test_silence_is_measured_on_the_clock_that_was_given() -> None:
    now = 100.0
    health = Health("scans", 0.5, lambda: now)
    health.input()
    now += 0.3
    assert health.silence == pytest.approx(0.3)
    now = 20.0  # the world starts again
    assert health.silence == 0.0
    now += 0.7
    assert health.silence == pytest.approx(0.7)


@pytest.fixture
def spun(domain: int) -> Iterator[Callable[..., Any]]:
    """Starts a node with ROS arguments in this process."""
    executor: SingleThreadedExecutor | None = None
    nodes: list[PerceptionNode] = []

    def start(kind: type[PerceptionNode], *arguments: str) -> SingleThreadedExecutor:
        nonlocal executor
        rclpy.init(args=["--ros-args", *arguments], domain_id=domain)
        executor = SingleThreadedExecutor()
        nodes.append(kind())  # type: ignore[call-arg]
        executor.add_node(nodes[0])
        assert nodes[0].configure() and nodes[0].activate()
        return executor

    yield start
    for node in nodes:
        node.close()
    if executor is not None:
        executor.shutdown()
    rclpy.try_shutdown()


def lidar_scan(stamp: int) -> ObstacleScan:
    ranges = np.full(72, 4.0, np.float32)
    return ObstacleScan(ranges, -np.pi + STEP / 2, STEP, 0.2, 40.0, stamp * 1e-9, "body", Cue.LIDAR)


def test_a_world_at_a_tenth_of_its_speed_is_not_silent(spun: Callable[..., Any]) -> None:
    """Scans of the lidar every 0.1 s of the world, which take a second: none is made up between."""
    executor = spun(ObstacleDistanceNode, "-p", "use_sim_time:=true")
    world = rclpy.create_node("world")
    heard: list[LaserScan] = []
    world.create_subscription(LaserScan, "obstacle_distance", heard.append, 10)
    ticks = world.create_publisher(Clock, "/clock", 10)
    scans = TopicOutput()
    scans.publishers["lidar/obstacle_distance"] = world.create_publisher(
        LaserScan, "lidar/obstacle_distance", 10
    )
    executor.add_node(world)

    def run(seconds: float, simulated: int, rate: float) -> int:
        """For so many real seconds; the world's time, ns, then."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            tick = Clock()
            now = simulated + round(1e9 * rate * passed)
            tick.clock.sec, tick.clock.nanosec = divmod(now, 10**9)
            ticks.publish(tick)
            executor.spin_once(timeout_sec=0.02)
        return simulated + round(1e9 * rate * seconds)

    now = run(2.0, STAMP, rate=1.0)
    assert heard and np.isnan(heard[-1].ranges).all()
    told: list[bool] = []
    for _ in range(4):
        heard.clear()
        scans.lidar_obstacle_distance(now, lidar_scan(now))
        now = run(1.0, now, rate=0.1)
        told += [bool(np.isfinite(scan.ranges).all()) for scan in heard]
    assert told[told.index(True) :] == [True] * 4, told
    heard.clear()
    run(1.0, now, rate=1.0)
    assert heard and np.isnan(heard[-1].ranges).all(), "then the lidar has stopped"
