"""Node ``depth_learner``: stereo teaches the student while the robot works.

Learning itself runs in a process of its own below this one: it may crash, hang or run out of
memory, and is started anew from the last good model. ``model_ready`` announces each new one.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import UInt64
from std_srvs.srv import Trigger

from ssl_perception.depth.learning.learner_process import LearnerProcess, Learnt
from ssl_perception.depth.student.architecture import SIZES
from ssl_perception.depth.teacher.pseudo_label import pseudo_label, suspect_since
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.io.stamp_sync import Group, StampSync
from ssl_perception.types import Cue
from ssl_perception_ros.camera_input import subscribe_images
from ssl_perception_ros.depth_parts import depth_map, teacher_suspect
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import DepthLearnerSettings, store_folder

WATCH_PERIOD = 0.05  # s between looks at the learner and its store
IMAGE = "left/image_rect"
COMPANIONS = {
    "stereo/confidence": Image,
    "stereo/status": DiagnosticArray,
    "trust": DiagnosticArray,
}


class Arrival(NamedTuple):
    """All that was published about one left image, and when it was complete."""

    group: Group[Any]
    seconds: float


class DepthLearnerNode(PerceptionNode):
    sections = ("camera", "pseudo_label", "student", "learner")
    own = DepthLearnerSettings

    def __init__(self) -> None:
        super().__init__("depth_learner")
        self._learner: LearnerProcess | None = None

    def prepare(self) -> None:
        self.health = Health("labelled images", self.settings.timeout, self.seconds)
        self._folder = store_folder(self.settings.store)
        with ModelStore(self._folder):  # refused now rather than in the learner: taken, read-only
            pass
        self._store = ModelStore(self._folder)
        self._ready = self.publish_on(UInt64, "model_ready", 1, latched=True)
        self.publish_on(DiagnosticArray, "depth_learner/status", 10)

    def begin(self) -> None:
        self._announced: int | None = None
        self._reported = 0.0
        self._suspected = False
        self._size = SIZES[self.config.student.size]
        self._learner = LearnerProcess(
            self._folder, self.config.learner, self.settings.seed, self._size
        )
        wait = self.settings.cue_wait  # in full: learning is in no hurry
        self._sync: StampSync[Any] = StampSync(
            (IMAGE, "stereo/depth", *COMPANIONS), wait, least_wait=wait, silence=3600.0
        )
        self._sync.expect(IMAGE)
        self._sync.expect("stereo/depth")
        self._work = self.work_on(self._learn, self.settings.queue)
        self.every(WATCH_PERIOD, self._watch)
        self._services = [
            self.create_service(Trigger, "~/save", self._save),
            self.create_service(Trigger, "~/reset", self._reset),
        ]
        depth = max(5, self.settings.queue)
        self._info: CameraInfo | None = None
        self.subscribe(CameraInfo, "left/camera_info", self._take_info, depth)
        self._camera = subscribe_images(self, IMAGE, partial(self._take, IMAGE), depth)
        for topic, kind in {"stereo/depth": Image, **COMPANIONS}.items():
            self.subscribe(kind, topic, partial(self._take, topic), depth)

    def end(self) -> None:
        if self._learner is None:
            return
        for service in self._services:
            self.destroy_service(service)
        self._learner.stop()  # it saves what it has learnt
        self._learner = None

    def _take_info(self, message: CameraInfo) -> None:
        self._info = message

    def _take(self, topic: str, message: Any) -> None:
        now = time.perf_counter()
        for part in COMPANIONS:
            if not self._sync.expects(part) and self.published(part):
                self._sync.expect(part)
        stamp = stamp_ns(message.header.stamp)
        self._offer(self._sync.add(topic, stamp, message, now), now)

    def _offer(self, groups: list[Group[Any]], now: float) -> None:
        for group in groups:
            if IMAGE in group.parts and "stereo/depth" in group.parts:
                self.health.input()
                self._work.offer(Arrival(group, now))

    def _learn(self, arrival: Arrival) -> None:
        learner = self._learner
        if learner is None:
            return
        stamp, parts = arrival.group.stamp_ns, arrival.group.parts
        stereo = depth_map(parts, Cue.STEREO, None, stamp)
        assert stereo is not None
        label = pseudo_label(stereo, self.config.pseudo_label, self._size.grid)
        disagrees = teacher_suspect(parts)
        since = suspect_since(stereo, disagrees, self.config.learner)
        suspect = since < math.inf
        if suspect and not self._suspected:
            learner.take_back(since)
        self._suspected = suspect
        taken = (
            label is not None
            and not suspect
            and learner.offer(self._image(parts[IMAGE]), label, stereo.stamp)
        )
        objection = "stereo and mono disagree in a known place" if disagrees else stereo.reason
        learnt = learner.learnt
        self.health.publish(
            time.perf_counter() - arrival.seconds,
            {
                "generation": self._announced or "none",
                "steps": learnt.steps,
                "error_log_depth": f"{learnt.error:.3f}",
                "restarts": learner.restarts,
                "silent_s": f"{learner.silent_for:.1f}",
                "taken": taken,
            },
            f"nothing to learn from: {objection}" if objection else "",
        )

    def _image(self, message: Any) -> NDArray[np.uint8]:
        if self._info is None:  # the image may be raw
            raise InputError("no left/camera_info")
        return self._camera.read(message, self._info).image

    def _watch(self) -> None:
        """Start the learner anew if it died or hangs; announce each new model and frame learnt."""
        if not self.active or self._learner is None:
            return
        now = time.perf_counter()
        self._offer(self._sync.overdue(now), now)
        if self._learner.keep_alive():
            self.complain(f"the learner had to be started anew ({self._learner.restarts} times)")
        learnt = self._learner.learnt
        newest = self._store.newest()
        if newest is not None and newest != self._announced:
            self._announced = newest
            self._ready.publish(UInt64(data=newest))
        if learnt.stamp == learnt.stamp and learnt.stamp != self._reported:
            self._reported = learnt.stamp
            self._report(learnt)

    def _report(self, learnt: Learnt) -> None:
        """``depth_learner/status``: the last frame that was learnt, under its stamp."""
        values = {
            "steps": str(learnt.steps),
            "error_log_depth": repr(learnt.error),
            "label_crc32": str(learnt.label_crc32),
            "generation": str(learnt.generation),
        }
        stamp = round(learnt.stamp * 1e9)
        self.output.diagnostics("depth_learner/status", stamp, "depth learner", "", values)

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
            self._announced = None
            response.success, response.message = True, "all that was learnt is forgotten"
        except (InputError, OSError) as error:
            response.message = str(error)
        return response


def main() -> int:
    return run(DepthLearnerNode)


if __name__ == "__main__":
    raise SystemExit(main())
