"""Node ``obstacle_distance``: depth in; how far the nearest obstacle is in each direction, out.

When depth stops coming the scan goes on, and says that nothing is known.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

import numpy as np
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo, Image, LaserScan, Range

from ssl_perception.io import images
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import CameraModel, Cue, DepthMap, ObstacleScan
from ssl_perception_ros import messages
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode, run
from ssl_perception_ros.settings import ObstacleDistance as Settings

BLIND_PERIOD = 0.1  # s between scans that say "unknown" while no depth comes


class Arrival(NamedTuple):
    """A depth image, its camera, and when it came on the steady clock."""

    message: Image
    info: CameraInfo
    seconds: float


class ObstacleDistance(PerceptionNode):
    sections = ("scan",)
    own = Settings

    def __init__(self) -> None:
        super().__init__("obstacle_distance")

    def prepare(self) -> None:
        self.health = Health("depth images", self.settings.timeout)
        depth = max(5, self.settings.queue)
        self._scan = self.publish_on(LaserScan, "obstacle_distance", depth)
        self._range = self.publish_on(Range, "obstacle_range", depth)
        self._depth = self.publish_on(Image, "depth", depth)

    def begin(self) -> None:
        queue = self.settings.queue
        self._info: CameraInfo | None = None
        self._last = (0, 0.0)  # newest source stamp, ns, and when it came on the steady clock
        self._frame = ""
        # the very first depth may come before its camera is known
        self._without_info: deque[Image] = deque(maxlen=queue)
        self._work = self.work_on(self._see, queue)
        self.subscribe(CameraInfo, "stereo/camera_info", self._take_info, max(5, queue))
        self.subscribe(Image, "stereo/depth", self._take, max(5, queue))
        self._watchdog = self.create_timer(
            BLIND_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def end(self) -> None:
        if hasattr(self, "_watchdog"):
            self.destroy_timer(self._watchdog)

    def _take_info(self, message: CameraInfo) -> None:
        self._info = message
        while self._without_info:
            self._take(self._without_info.popleft())

    def _take(self, message: Image) -> None:
        if self._info is None:
            # not input yet: the watchdog goes on telling that nothing is known
            if len(self._without_info) == self._without_info.maxlen:
                self.health.refuse("no stereo/camera_info")
                self.complain("no stereo/camera_info: depth images can't be used")
            self._without_info.append(message)
            return
        self.health.input()
        now = time.perf_counter()
        self._last = (stamp_ns(message.header.stamp), now)
        self._work.offer(Arrival(message, self._info, now))

    def _see(self, arrival: Arrival) -> None:
        message = arrival.message
        stamp = stamp_ns(message.header.stamp)
        camera = images.camera_model(arrival.info)
        values = images.decode_depth(message)
        known = bool(np.isfinite(values).any())
        depth = DepthMap(
            values,
            camera,
            stamp * 1e-9,
            Cue.STEREO if known else Cue.NONE,
            valid=known,
            reason="" if known else "no depth known in the whole image",
        )
        scan = obstacle_scan(depth, self.config.scan)
        self._frame = scan.frame
        self._publish(scan, stamp)
        if known:
            self._depth.publish(message)
        age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "age_s": f"{age:.3f}",
                "cue": scan.cue.value,
                "known_sectors": int((~np.isnan(scan.ranges)).sum()),
                "nearest_ahead_m": f"{nearest_ahead(scan, self.settings.ahead / 2):.2f}",
            },
            depth.reason,
        )

    def _watch(self) -> None:
        """Depth has stopped: nothing is known, and nothing unknown is free."""
        if not self.active or self.health.silence <= self.settings.timeout:
            return
        stamp, when = self._last
        if stamp:  # carry the source's clock on; the node's may be another one
            stamp += round((time.perf_counter() - when) * 1e9)
        else:
            stamp = self.get_clock().now().nanoseconds
        camera = CameraModel(1, 1, 1.0, 1.0, 0.0, 0.0, self._frame)
        nothing = DepthMap(
            np.full((1, 1), np.nan), camera, stamp * 1e-9, Cue.NONE, valid=False, reason="silence"
        )
        self._publish(obstacle_scan(nothing, self.config.scan, self._frame), stamp)

    def _publish(self, scan: ObstacleScan, stamp: int) -> None:
        self._scan.publish(messages.laser_scan(scan, stamp, self.settings.mavros))
        width = self.settings.ahead
        distance = nearest_ahead(scan, width / 2)
        self._range.publish(messages.nearest_range(distance, width, scan, stamp))


def main() -> int:
    return run(ObstacleDistance)


if __name__ == "__main__":
    raise SystemExit(main())
