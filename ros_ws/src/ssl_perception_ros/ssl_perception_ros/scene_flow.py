"""Node ``scene_flow``: sweeps in; the velocity of every point over ground and the movers out.

Time to collision has no stamp by which a reader could tell an old one: before the first sweep, and
when sweeps stop coming, it goes out as NaN, again and again.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import NamedTuple

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan, PointCloud2
from std_msgs.msg import Float32
from visualization_msgs.msg import MarkerArray

from ssl_perception.errors import InputError
from ssl_perception.io import odometry, point_cloud2, sweep
from ssl_perception.io.bag_log import deserialise
from ssl_perception.io.further_outputs import OF_OBJECTS
from ssl_perception.io.scan_encoding import CONSUMERS, check_sectors
from ssl_perception.obstacles.collision import NO_FOOTPRINT
from ssl_perception.obstacles.scan import unknown_scan
from ssl_perception.pipeline import Perception
from ssl_perception.types import ObstacleScan
from ssl_perception.warm_up import warm_up
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.further_topics import further_topics
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.points_input import points_type
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import SceneFlowSettings
from ssl_perception_ros.transforms import Transforms

UNKNOWN_PERIOD = 0.1  # s between messages that say "unknown" while no sweep comes


class Arrival(NamedTuple):
    """A sweep's message, serialised; when it came on the steady clock, and on the clock of
    timeouts."""

    raw: bytes
    seconds: float
    came: float


class SceneFlowNode(PerceptionNode):
    sections = (
        "points",
        "lidar_mount",
        "ego_motion",
        "ground",
        "flow",
        "online",
        "evidence",
        "tracks",
        "accumulation",
        "collision",
        "scan",
        "lidar_scan",
        "outputs",
    )
    own = SceneFlowSettings
    live = ("timeout", "flow_points", "flow_fields", "flow.deadline", "collision.", "lidar_scan.")

    def __init__(self) -> None:
        super().__init__("scene_flow")

    def prepare(self) -> None:
        self.health = Health("sweeps", self.settings.timeout, self.seconds)
        check_sectors(self.settings.lidar_consumer, self.config.scan.sectors)
        self.adapt()
        self._lidar_encoding = CONSUMERS[self.settings.lidar_consumer].scan
        if self._doubt:
            self.complain(self._doubt)
        # the first sweep must not wait for compilers
        self.wait_for(lambda: warm_up(self.config), "compiling kernels")
        depth = max(5, self.settings.queue)
        self.publish_on(PointCloud2, "scene_flow", depth)
        self.publish_on(PointCloud2, "moving_points", depth)
        self.publish_on(MarkerArray, "moving_objects", depth)
        self.publish_on(Float32, "time_to_collision", depth)
        self.publish_on(LaserScan, "lidar/obstacle_distance", depth)
        sectors = self.config.scan.sectors
        self._further = further_topics(self, OF_OBJECTS, sectors, depth)
        if self.config.accumulation.sweeps:
            self.publish_on(PointCloud2, "points_accumulated", depth)

    def adapt(self) -> None:
        self._points_kind, self._points_type = points_type(self.settings.points_type)
        self._flow_fields = point_cloud2.flow_fields(self.settings.flow_fields)
        self._doubt = "" if self.config.collision.has_footprint else NO_FOOTPRINT

    def begin(self) -> None:
        self._perception = Perception(self.config)
        self._transforms = Transforms(self, self.settings.base_frame)
        self._mounting_doubt = ""
        self._poses: deque[Odometry] = deque(maxlen=1000)
        self._newest: tuple[ObstacleScan, float] | None = None  # scan, and when it was made
        self._say_unknown()
        worker = self.work_on(self._sweep, self.settings.queue)

        def take(raw: bytes) -> None:
            self.health.input()
            worker.offer(Arrival(raw, time.perf_counter(), self.seconds()))

        def take_pose(message: Odometry) -> None:
            self._poses.append(message)

        self.subscribe(self._points_type, "points", take, max(5, self.settings.queue), raw=True)
        self.subscribe(Odometry, "odom", take_pose, 100)
        self.every(UNKNOWN_PERIOD, self._watch)

    def _sweep(self, arrival: Arrival) -> None:
        message = deserialise(arrival.raw, self._points_kind)
        stamp_ns = point_cloud2.stamp_ns(message.header.stamp)
        perception = self._placed(message.header.frame_id)
        try:
            while self._poses:
                perception.odometry(odometry.decode(self._poses.popleft()))
        except InputError as error:
            self.complain(f"odom: {error}")
        result = perception.sweep(sweep.decode(message, self.config.points))
        if perception is not self._perception:  # stopped and started again meanwhile
            return
        if result.doubt and result.doubt != self._mounting_doubt:
            self.complain(result.doubt)
        self._mounting_doubt = result.doubt
        flow = result.flow
        if self.output.wanted("scene_flow"):
            moving_only = self.settings.flow_points == "moving"
            self.output.scene_flow(stamp_ns, result.cloud, flow, self._flow_fields, moving_only)
        if self.output.wanted("moving_points"):
            self.output.moving_points(stamp_ns, result.cloud.select(flow.moving))
        self.output.moving_objects(stamp_ns, message.header.frame_id, result.objects)
        self._further.objects(stamp_ns, message.header.frame_id, result.objects)
        collision = perception.time_to_collision(result)
        self.output.time_to_collision(stamp_ns, collision)
        scan = result.lidar_scan
        assert scan is not None, "the pipeline makes one of every sweep"
        self.output.lidar_obstacle_distance(stamp_ns, scan, self._lidar_encoding)
        self._newest = scan, arrival.came
        if perception.accumulated is not None and self.output.wanted("points_accumulated"):
            self.output.points_accumulated(stamp_ns, perception.accumulated.cloud())
        age = (self.get_clock().now().nanoseconds - stamp_ns) * 1e-9
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "age_s": f"{age:.3f}",
                "points": len(result.cloud),
                "moving_points": int(np.count_nonzero(flow.moving)),
                "moving_objects": len(result.objects),
                "time_to_collision_s": f"{collision:.2f}",
                "footprint": self._doubt or "set",
                "mounting": result.doubt or "as set",
                "known_sectors": int((~np.isnan(scan.ranges)).sum()),
                "method": self.config.flow.method,
                "iterations": flow.iterations,
                "converged": flow.converged,
                "reset": result.reset,
                **{f"ms {stage}": f"{1e3 * spent:.1f}" for stage, spent in result.stages.items()},
            },
            "" if flow.converged else "deadline cut the search short",
            "" if result.reset in ("", "first sweep") else f"started anew: {result.reset}",
            result.doubt,
        )

    def _placed(self, lidar: str) -> Perception:
        """The pipeline, with the settings of now; a new one when ``/tf_static`` says how the lidar
        is mounted, which it usually does before the first sweep."""
        config = self._transforms.complete(self.config, lidar, self.settings.camera_frame)
        if config.lidar_mount != self._perception.config.lidar_mount:
            self._perception = Perception(config)
        elif config is not self._perception.config:
            self._perception.adapt(config)
        return self._perception

    def _watch(self) -> None:
        if self.active and self.health.silence > self.settings.timeout:
            self._say_unknown()

    def _say_unknown(self) -> None:
        """Whatever was said of the last sweep holds no longer.

        ``obstacle_distance`` knows the age of the lidar's scan by its stamp; another consumer may
        not look at it, and gets one in which nothing is known.
        """
        stamp_ns = self.get_clock().now().nanoseconds
        self.output.time_to_collision(stamp_ns, math.nan)
        self.health.update({"time_to_collision_s": "nan"})
        if self._newest is None or self._lidar_encoding.is_rep117:
            return
        scan, came = self._newest
        # the source's clock carried on; the node's may be another one
        scan = unknown_scan(scan, scan.stamp + max(0.0, self.seconds() - came))
        self.output.lidar_obstacle_distance(round(scan.stamp * 1e9), scan, self._lidar_encoding)


def main() -> int:
    return run(SceneFlowNode)


if __name__ == "__main__":
    raise SystemExit(main())
