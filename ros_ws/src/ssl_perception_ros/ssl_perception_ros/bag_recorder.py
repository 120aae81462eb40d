"""Node ``bag_recorder``: what the nodes say, into one MCAP file, byte for byte.

It ends on SIGINT, or by itself when nothing has come for a while; only then the file appears.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, Range
from std_msgs.msg import Float32, UInt64
from stereo_msgs.msg import DisparityImage
from visualization_msgs.msg import MarkerArray

from ssl_perception.config import FURTHER_OUTPUTS
from ssl_perception.errors import InputError
from ssl_perception.io import installed_messages
from ssl_perception.io.further_outputs import TOPICS
from ssl_perception.io.output import OutputBag
from ssl_perception_ros.messages import message_type
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import BagRecorderSettings

TYPES: dict[str, type] = {
    "scene_flow": PointCloud2,
    "moving_points": PointCloud2,
    "moving_objects": MarkerArray,
    "points_accumulated": PointCloud2,
    "time_to_collision": Float32,
    "lidar/obstacle_distance": LaserScan,
    "stereo/depth": Image,
    "stereo/confidence": Image,
    "stereo/status": DiagnosticArray,
    "stereo/disparity": DisparityImage,
    "stereo/camera_info": CameraInfo,
    "mono/depth": Image,
    "mono/status": DiagnosticArray,
    "mono/camera_info": CameraInfo,
    "mono/generation": UInt64,
    "model_ready": UInt64,
    "depth_learner/status": DiagnosticArray,
    "trust": DiagnosticArray,
    "depth": Image,
    "obstacle_distance": LaserScan,
    "obstacle_range": Range,
    "points": PointCloud2,
    **{f"{side}/image_rect": Image for side in ("left", "right")},
    **{f"{side}/camera_info": CameraInfo for side in ("left", "right")},
    "odom": Odometry,
    "truth/odom": Odometry,
    "truth/scene_flow": PointCloud2,
    "truth/depth": Image,
    "cmd_vel": Twist,
    "/diagnostics": DiagnosticArray,
}
FURTHER = {TOPICS[name]: kind for name, kind in FURTHER_OUTPUTS.items()}
# of packages that may be installed or not
TYPES |= {topic: found for topic, kind in FURTHER.items() if (found := message_type(kind))}
DEPTH = 200  # messages kept for us while the disk is slow
CHECK_PERIOD = 0.2  # s


class BagRecorderNode(PerceptionNode):
    own = BagRecorderSettings

    def __init__(self) -> None:
        super().__init__("bag_recorder")
        self._bag: OutputBag | None = None
        self._stamp = 0  # ns, of the newest message written

    def prepare(self) -> None:
        if not self.settings.output:
            raise InputError("parameter output: name the .mcap file to write")
        for topic in self.settings.outputs.split():
            if topic in FURTHER:
                installed_messages.require(FURTHER[topic])
            if topic not in TYPES:
                raise InputError(f"parameter outputs: {topic!r} is none of {', '.join(TYPES)}")
        self._bag = OutputBag(Path(self.settings.output))
        self._bag.__enter__()

    def begin(self) -> None:
        self._newest: float | None = None
        # reliable: a recording must not have holes
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        for topic in self.settings.outputs.split():
            kind = TYPES[topic]
            self._inputs.append(
                self.create_subscription(kind, topic, self._writer(topic, kind), qos, raw=True)
            )
        self.every(CHECK_PERIOD, self._end_when_idle)

    def release(self) -> None:
        bag, self._bag = self._bag, None
        if bag is not None:
            bag.__exit__(None, None, None)

    def close(self) -> None:
        super().close()
        self.release()

    def _writer(self, topic: str, kind: type) -> Any:
        full_name = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"

        def write(raw: bytes) -> None:
            self._newest = time.monotonic()
            if self._bag is not None:
                # a clock that is set back must not turn the order of the messages round
                self._stamp = max(self._stamp + 1, self.get_clock().now().nanoseconds)
                self._bag.write_raw(topic, self._stamp, full_name, raw)

        return write

    def _end_when_idle(self) -> None:
        idle = self.settings.idle
        if idle and self._newest is not None and time.monotonic() - self._newest > idle:
            self.get_logger().info(f"nothing came for {idle:g} s: the recording ends")
            self.done.set_result(True)


def main() -> int:
    return run(BagRecorderNode)


if __name__ == "__main__":
    raise SystemExit(main())
