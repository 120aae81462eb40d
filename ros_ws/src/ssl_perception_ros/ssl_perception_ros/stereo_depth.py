"""Node ``stereo_depth``: left and right images in; depth out, or an honest nothing."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image
from stereo_msgs.msg import DisparityImage

from ssl_perception.depth.seen import only_seen
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.io.camera import StereoCamera
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.io.stereo_sync import Matched, Side, StereoSync
from ssl_perception_ros.camera_input import subscribe_images
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import CameraNodeSettings


class Arrival(NamedTuple):
    """A matched pair, its cameras, and when it was complete on the steady clock."""

    pair: Matched
    left_info: CameraInfo
    right_info: CameraInfo
    seconds: float


class StereoDepthNode(PerceptionNode):
    sections = ("topics", "camera", "stereo")
    own = CameraNodeSettings

    def __init__(self) -> None:
        super().__init__("stereo_depth")

    def prepare(self) -> None:
        self.health = Health("stereo pairs", self.settings.timeout, self.seconds)
        StereoMatcher(self.config.stereo)  # refuses what can't be used while it is still cheap
        depth = max(5, self.settings.queue)
        self.publish_on(DiagnosticArray, "stereo/status", depth)
        self.publish_on(Image, "stereo/confidence", depth)
        self.publish_on(CameraInfo, "stereo/camera_info", depth)
        self.publish_on(Image, "stereo/depth", depth)
        self.publish_on(DisparityImage, "stereo/disparity", depth)

    def begin(self) -> None:
        queue = self.settings.queue
        depth = max(5, queue)
        self._matcher = StereoMatcher(self.config.stereo)
        tolerance = round(self.config.topics.stereo_tolerance * 1e9)
        self._sync = StereoSync(tolerance, max(10, queue))
        self._infos: dict[Side, CameraInfo] = {}
        # the very first pair may be complete before its cameras are known
        self._without_info: deque[tuple[Matched, float]] = deque(maxlen=queue)
        left, right = (self.resolve_topic_name(f"{side}/image_rect") for side in ("left", "right"))
        self._camera = StereoCamera(left, right, self.config.camera)
        self._work = self.work_on(self._match, queue)
        for side in ("left", "right"):
            self._listen(side, depth)

    def _listen(self, side: Side, depth: int) -> None:
        def image(message: Image) -> None:
            pair = self._sync.add(side, stamp_ns(message.header.stamp), message)
            if pair is not None:
                self.health.input()
                self._take(pair, time.perf_counter())

        def info(message: CameraInfo) -> None:
            self._infos[side] = message
            if len(self._infos) == 2:
                while self._without_info:
                    self._take(*self._without_info.popleft())

        self.subscribe(CameraInfo, f"{side}/camera_info", info, depth)
        subscribe_images(self, f"{side}/image_rect", image, depth)

    def _take(self, pair: Matched, seconds: float) -> None:
        if len(self._infos) == 2:
            self._work.offer(Arrival(pair, self._infos["left"], self._infos["right"], seconds))
            return
        missing = [side for side in ("left", "right") if side not in self._infos]
        if len(self._without_info) == self._without_info.maxlen:
            self.health.refuse(f"no {' and no '.join(f'{side}/camera_info' for side in missing)}")
            self.complain(self.health.last_problem)
        self._without_info.append((pair, seconds))

    def _match(self, arrival: Arrival) -> None:
        matched = arrival.pair
        pair = self._camera.read(
            matched.left,
            matched.right,
            arrival.left_info,
            arrival.right_info,
            matched.stamp_ns * 1e-9,
        )
        match = self._matcher.match(pair)
        depth = only_seen(self._matcher.to_depth(pair, match), pair.seen)
        stamp_ns = matched.stamp_ns
        self.output.status(stamp_ns, depth)
        self.output.confidence(stamp_ns, depth)
        self.output.camera_info("stereo/camera_info", stamp_ns, pair.camera)
        self.output.depth(stamp_ns, depth)
        self.output.disparity(stamp_ns, depth, pair.baseline, float(match.blind))
        age = (self.get_clock().now().nanoseconds - matched.stamp_ns) * 1e-9
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "age_s": f"{age:.3f}",
                "trusted": match.valid,
                "known_pixels": f"{np.isfinite(depth.depth).mean():.2f}",
                "matched": f"{match.matched:.2f}",
                "agreement": f"{match.agreement:.2f}",
                "texture": f"{match.texture:.2f}",
                "row_offset_px": f"{match.row_offset:.2f}",
                "yaw_px": f"{match.yaw:.2f}",
                "unpaired_images": self._sync.unpaired,
            },
            "" if match.valid else f"not trusted: {match.reason}",
        )


def main() -> int:
    return run(StereoDepthNode)


if __name__ == "__main__":
    raise SystemExit(main())
