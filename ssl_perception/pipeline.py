"""The whole system: a sensor's frame in; scene flow, depth and obstacle distance out.

    sweep ─► ego motion ─► ground ─► static / moving ─► solver ─► scene flow, moving objects
                                                                  ├─► time to collision
                                                                  └─► the last sweeps as one cloud
    left, right ─► stereo depth (gated) ─► obstacle scan

``replay``, the ROS 2 nodes and the simulator all run exactly this. Nothing here knows where a
frame came from or where a result goes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ssl_perception.config import Config
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.flow.online.accumulation import Accumulator
from ssl_perception.flow.online.online import OnlineFlow, SweepFlow
from ssl_perception.flow.online.pose_buffer import OdometryBuffer
from ssl_perception.obstacles.collision import time_to_collision
from ssl_perception.obstacles.scan import obstacle_scan
from ssl_perception.types import (
    DepthMap,
    ObstacleScan,
    Odometry,
    PointCloud,
    StereoPair,
)


@dataclass(frozen=True, eq=False)
class StereoDepth:
    """What one stereo pair tells.

    Attributes:
        depth: metres per pixel, with the teacher's own verdict on itself.
        scan: distance to the nearest obstacle per sector; all unknown when the depth isn't valid.
        stages: seconds spent per stage.
    """

    depth: DepthMap
    scan: ObstacleScan
    stages: dict[str, float]


class Perception:
    """Feed it what the sensors give, in the order of time; it keeps what the next frame needs.

    Attributes:
        accumulated: the last sweeps as one cloud; None unless ``accumulation.sweeps`` asks for it.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._flow = OnlineFlow(self.config)
        self.accumulated = (
            Accumulator(self.config.accumulation) if self.config.accumulation.sweeps else None
        )
        self._matcher = StereoMatcher(self.config.stereo)
        self._odometry = OdometryBuffer(self.config.lidar_mount)

    def sweep(self, cloud: PointCloud) -> SweepFlow:
        """The motion over ground of each point of a raw sweep, seen against the sweep before it.

        Raises:
            InputError: an empty cloud, or NaN or infinite points.
        """
        result = self._flow.process(cloud, self._odometry.pose(cloud.stamp))
        if self.accumulated is not None:
            self.accumulated.add(result)
        return result

    def time_to_collision(self, result: SweepFlow) -> float:
        """Seconds until the robot meets something that moves or stands; +Inf: nothing seen is on
        course, NaN: not known, always so while ``collision`` has no footprint."""
        return time_to_collision(result, self.config.collision)

    def stereo(self, pair: StereoPair) -> StereoDepth:
        """Depth and obstacle distance from a rectified pair."""
        start = time.perf_counter()
        depth = self._matcher.depth(pair)
        matched = time.perf_counter()
        scan = obstacle_scan(depth, self.config.scan)
        done = time.perf_counter()
        return StereoDepth(depth, scan, {"match": matched - start, "scan": done - matched})

    def odometry(self, odometry: Odometry) -> None:
        """Take a pose of the robot; used instead of registration once it covers a sweep."""
        self._odometry.add(odometry)
