"""Node ``depth_learner``: stereo teaches the student while the robot works.

Learning itself runs in a process of its own below this one: it may crash, hang or run out of
memory, and is started anew from the last good model. ``model_ready`` tells of each new one.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import UInt64
from std_srvs.srv import Trigger

from ssl_perception.depth.learning.learner_process import LearnerProcess
from ssl_perception.depth.teacher.pseudo_label import label
from ssl_perception.errors import InputError
from ssl_perception.io import images
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.io.stereo_sync import Matched, Side, StereoSync
from ssl_perception.types import CameraModel, DepthMap
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode, run
from ssl_perception_ros.settings import DepthLearner as Settings
from ssl_perception_ros.settings import store_folder

WATCH_PERIOD = 0.25  # s between looks at the learner and its store
SAME = 1_000_000  # ns: depth carries its image's own stamp


class Arrival(NamedTuple):
    """A left image and the depth that stereo gives it, and when both were there."""

    frame: Matched
    seconds: float


class DepthLearner(PerceptionNode):
    sections = ("learner",)
    own = Settings

    def __init__(self) -> None:
        super().__init__("depth_learner")
        self._learner: LearnerProcess | None = None

    def prepare(self) -> None:
        self.health = Health("labelled images", self.settings.timeout)
        self._folder = store_folder(self.settings.store)
        with ModelStore(self._folder):  # refused now rather than in the learner: taken, read-only
            pass
        self._store = ModelStore(self._folder)
        self._ready = self.publish_on(UInt64, "model_ready", 1, latched=True)

    def begin(self) -> None:
        self._told: int | None = None
        self._learner = LearnerProcess(self._folder, self.config.learner, self.settings.seed)
        self._sync = StereoSync(SAME, max(10, self.settings.queue))
        self._work = self.work_on(self._learn, self.settings.queue)
        self.every(WATCH_PERIOD, self._watch)
        self._asked = [
            self.create_service(Trigger, "~/save", self._save),
            self.create_service(Trigger, "~/reset", self._reset),
        ]
        depth = max(5, self.settings.queue)
        self.subscribe(Image, "left/image_rect", lambda m: self._take("left", m), depth)
        self.subscribe(Image, "stereo/depth", lambda m: self._take("right", m), depth)

    def end(self) -> None:
        if self._learner is None:
            return
        for service in self._asked:
            self.destroy_service(service)
        self._learner.stop()  # it saves what it has learnt
        self._learner = None

    def _take(self, side: Side, message: Image) -> None:
        frame = self._sync.add(side, stamp_ns(message.header.stamp), message)
        if frame is not None:
            self.health.input()
            self._work.offer(Arrival(frame, time.perf_counter()))

    def _learn(self, arrival: Arrival) -> None:
        learner = self._learner
        if learner is None:
            return
        values = images.decode_depth(arrival.frame.right)
        known = bool(np.isfinite(values).any())
        camera = CameraModel(values.shape[1], values.shape[0], 1.0, 1.0, 0.0, 0.0)
        depth = DepthMap(values, camera, valid=known)
        truth = label(depth, self.config.learner.label_min_known)
        taken = truth is not None and learner.offer(images.camera_image(arrival.frame.left), truth)
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "generation": self._told or "none",
                "steps": learner.steps,
                "error_log_depth": f"{learner.error:.3f}",
                "restarts": learner.restarts,
                "silent_s": f"{learner.silent_for:.1f}",
                "taken": taken,
            },
            "" if known else "stereo is invalid: nothing to learn from",
        )

    def _watch(self) -> None:
        """Start the learner anew if it died or hangs, and tell of each new model."""
        if not self.active or self._learner is None:
            return
        if self._learner.keep_alive():
            self.complain(f"the learner had to be started anew ({self._learner.restarts} times)")
        newest = self._store.newest()
        if newest is not None and newest != self._told:
            self._told = newest
            self._ready.publish(UInt64(data=newest))

    def _save(self, request: Any, response: Any) -> Any:
        if self._learner is None:
            response.message = "not active"
            return response
        self._learner.save()
        response.success, response.message = True, "saving; model_ready tells when it is done"
        return response

    def _reset(self, request: Any, response: Any) -> Any:
        if self._learner is None:
            response.message = "not active"
            return response
        try:
            self._learner.reset()
            self._told = None
            response.success, response.message = True, "all that was learnt is forgotten"
        except (InputError, OSError) as error:
            response.message = str(error)
        return response


def main() -> int:
    return run(DepthLearner)


if __name__ == "__main__":
    raise SystemExit(main())
