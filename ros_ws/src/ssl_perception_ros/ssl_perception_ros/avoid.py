"""Node ``avoid``: obstacle scan in; straight, stop, turn out, as a velocity command.

When scans stop coming the vehicle is commanded to stop, again and again.
"""

from __future__ import annotations

import time

from geometry_msgs.msg import Twist
from sensor_msgs.msg import LaserScan

from ssl_perception.errors import InputError
from ssl_perception.io import laser_scan
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import AvoidSettings

HALT_PERIOD = 0.1  # s between commands to stand still while no scan comes


class AvoidNode(PerceptionNode):
    sections = ("avoid",)
    own = AvoidSettings

    def __init__(self) -> None:
        super().__init__("avoid")

    def prepare(self) -> None:
        if self.settings.mavros:
            raise InputError("parameter mavros: avoid reads scans as REP 117 has them; set false")
        if self.settings.consumer != "rep117":
            raise InputError(
                "parameter consumer: avoid reads scans as REP 117 has them, not as for "
                f"{self.settings.consumer}; set rep117"
            )
        self.health = Health("scans", self.settings.timeout, self.seconds)
        self._command = self.publish_on(Twist, "cmd_vel")

    def begin(self) -> None:
        self._avoid = Avoid(self.config.avoid, self.settings.seed)
        self._work = self.work_on(self._react, self.settings.queue)
        self.subscribe(LaserScan, "obstacle_distance", self._take)
        self.every(HALT_PERIOD, self._watch)

    def end(self) -> None:
        if self.context.ok():
            self.guarded(self._tell)(Command())

    def _take(self, message: LaserScan) -> None:
        self.health.input()
        self._work.offer((message, time.perf_counter()))

    def _react(self, arrival: tuple[LaserScan, float]) -> None:
        message, when = arrival
        try:
            command = self._avoid.command(laser_scan.decode(message))
        except InputError:
            self._tell(Command())
            raise
        self._tell(command)
        self.health.publish(
            time.perf_counter() - when,
            {"state": self._avoid.state, "turns": self._avoid.turns, "vx": command.vx},
        )

    def _watch(self) -> None:
        if self.active and self.health.silence > self.settings.timeout:
            self._tell(Command())

    def _tell(self, command: Command) -> None:
        twist = Twist()
        twist.linear.x = command.vx
        twist.angular.z = command.yaw_rate
        self._command.publish(twist)


def main() -> int:
    return run(AvoidNode)


if __name__ == "__main__":
    raise SystemExit(main())
