"""Node ``mono_depth``: one eye. Left images in; the student's depth out, on its own coarse grid.

Before the first model, while the camera is frozen, and where the student knows nothing like the
picture, all is unknown.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import UInt64

from ssl_perception.depth.learning.checkpoint import (
    MEMORY,
    STUDENT,
    load_places,
    load_student,
)
from ssl_perception.depth.student.inference import MonoDepth as Student
from ssl_perception.errors import InputError
from ssl_perception.io import images
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception_ros import messages
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode, run
from ssl_perception_ros.settings import MonoDepth as Settings
from ssl_perception_ros.settings import store_folder


class Arrival(NamedTuple):
    """An image, its camera, and when it came on the steady clock."""

    message: Image
    info: CameraInfo
    seconds: float


class MonoDepth(PerceptionNode):
    sections = ("student", "trust")
    own = Settings

    def __init__(self) -> None:
        super().__init__("mono_depth")

    def prepare(self) -> None:
        self.health = Health("images", self.settings.timeout)
        self._student = Student(self.config.student)
        self._store = ModelStore(store_folder(self.settings.store))
        depth = max(5, self.settings.queue)
        self._depth = self.publish_on(Image, "mono/depth", depth)
        self._camera = self.publish_on(CameraInfo, "mono/camera_info", depth)

    def begin(self) -> None:
        queue = self.settings.queue
        self._info: CameraInfo | None = None
        self._without_info: deque[Image] = deque(maxlen=queue)
        self._work = self.work_on(self._see, queue)
        self._load()
        self.subscribe(UInt64, "model_ready", self._load, 10, latched=True)
        self.subscribe(CameraInfo, "left/camera_info", self._take_info, max(5, queue))
        self.subscribe(Image, "left/image_rect", self._take, max(5, queue))

    def _load(self, message: UInt64 | None = None) -> None:
        """Take the newest good model; images under way finish on the one before."""
        if message is not None and message.data == self._student.generation:
            return
        try:
            found = self._store.load((STUDENT, MEMORY), extras=False)
            if found is not None and found.number != self._student.generation:
                self._student.load(load_student(found), found.number, load_places(found))
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

    def _see(self, arrival: Arrival) -> None:
        message = arrival.message
        stamp = stamp_ns(message.header.stamp)
        camera = images.camera_model(arrival.info)
        seconds = stamp * 1e-9
        said = self._student.predict(images.camera_image(message), seconds)
        depth = self._student.to_depth(said, camera, seconds, self.config.trust.novelty)
        self._camera.publish(messages.camera_info(depth.camera, stamp))
        self._depth.publish(messages.image(images.encode_depth(depth), stamp))
        age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "age_s": f"{age:.3f}",
                "generation": "none" if said is None else said.generation,
                "novelty": "none" if said is None else f"{said.novelty:.3f}",
                "providers": " ".join(self._student.providers),
            },
            depth.reason,
        )


def main() -> int:
    return run(MonoDepth)


if __name__ == "__main__":
    raise SystemExit(main())
