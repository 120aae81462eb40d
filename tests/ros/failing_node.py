"""A node whose timer fails at every second tick; with ``dying`` the context goes first, with
``dying_early`` while the node is configured."""

from __future__ import annotations

import sys

import rclpy
from std_msgs.msg import UInt64

from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run


class FailingNode(PerceptionNode):
    def __init__(self) -> None:
        super().__init__("failing")
        self._ticks = 0

    def prepare(self) -> None:
        self.health = Health("ticks", 10.0)
        if "dying_early" in sys.argv:
            rclpy.shutdown()
        self._out = self.publish_on(UInt64, "ticks")

    def begin(self) -> None:
        self.every(0.05, self._tick)

    def end(self) -> None:
        print(f"ended after {self._ticks}, {self.health.failed} failed", flush=True)

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks % 2 == 0:
            if "dying" in sys.argv:
                rclpy.shutdown()  # as a signal does between two lines of a callback
            raise RuntimeError("what nobody thought of")
        self._out.publish(UInt64(data=self._ticks))


raise SystemExit(run(FailingNode))
