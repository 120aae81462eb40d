"""Node ``mono_depth``: left images in; the student's depth out, on its own coarse grid.

Before the first model, while the camera is frozen, and where the image is unlike all that was
learnt, everything is unknown.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import UInt64

from ssl_perception.depth.seen import only_seen
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.stored import FEATURES_FILE, STUDENT_FILE, load_into
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception_ros.camera_input import subscribe_images
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import MonoDepthSettings, store_folder


class Arrival(NamedTuple):
    """An image, its camera, and when it came on the steady clock."""

    message: Image
    info: CameraInfo
    seconds: float


class MonoDepthNode(PerceptionNode):
    sections = ("camera", "student")
    own = MonoDepthSettings

    def __init__(self) -> None:
        super().__init__("mono_depth")

    def prepare(self) -> None:
        self.health = Health("images", self.settings.timeout, self.seconds)
        self._store = ModelStore(store_folder(self.settings.store))
        StudentInference(self.config.student)  # refuses what can't run while it is still cheap
        depth = max(5, self.settings.queue)
        self.publish_on(DiagnosticArray, "mono/status", depth)
        self.publish_on(CameraInfo, "mono/camera_info", depth)
        self.publish_on(Image, "mono/depth", depth)
        self._generation = self.publish_on(UInt64, "mono/generation", 1, latched=True)

    def begin(self) -> None:
        queue = self.settings.queue
        self._student = StudentInference(self.config.student)
        self._info: CameraInfo | None = None
        self._without_info: deque[Image] = deque(maxlen=queue)
        self._work = self.work_on(self._predict, queue)
        self._load()
        self.subscribe(UInt64, "model_ready", self._load, 10, latched=True)
        self.subscribe(CameraInfo, "left/camera_info", self._take_info, max(5, queue))
        self._camera = subscribe_images(self, "left/image_rect", self._take, max(5, queue))

    def _load(self, message: UInt64 | None = None) -> None:
        """Take the newest good model; images under way finish on the one before."""
        if message is not None and message.data == self._student.generation:
            return
        try:
            found = self._store.load((STUDENT_FILE, FEATURES_FILE), extras=False)
            if found is not None and found.number != self._student.generation:
                load_into(self._student, found)
                self._generation.publish(UInt64(data=found.number))
        except InputError as error:
            self.complain(f"the model stays as it is: {error}")

    def _take_info(self, message: CameraInfo) -> None:
        self._info = message
        while self._without_info:
            self._take(self._without_info.popleft())

    def _take(self, message: Image) -> None:
        if self._info is None:
            if len(self._without_info) == self._without_info.maxlen:
                self.health.refuse("no left/camera_info")
                self.complain(self.health.last_problem)
            self._without_info.append(message)
            return
        self.health.input()
        self._work.offer(Arrival(message, self._info, time.perf_counter()))

    def _predict(self, arrival: Arrival) -> None:
        stamp = stamp_ns(arrival.message.header.stamp)
        found = self._camera.read(arrival.message, arrival.info)
        depth = self._student.depth(found.image, found.camera, stamp * 1e-9)
        depth = only_seen(depth, found.seen)
        self.output.status(stamp, depth)
        self.output.camera_info("mono/camera_info", stamp, depth.camera)
        self.output.depth(stamp, depth)
        age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "age_s": f"{age:.3f}",
                "generation": "none" if depth.generation is None else depth.generation,
                "novelty": f"{depth.novelty:.3f}",
                "providers": " ".join(self._student.providers),
            },
            depth.reason,
        )


def main() -> int:
    return run(MonoDepthNode)


if __name__ == "__main__":
    raise SystemExit(main())
