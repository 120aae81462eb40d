"""Node ``obstacle_distance``: how far the nearest obstacle is in each direction, from the cue that
may be trusted now: stereo, the student guarded by stereo, the student alone, or nobody.

Without a student it passes on what stereo says. When depth stops coming the scan goes on, and says
that nothing is known.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, LaserScan, Range

from ssl_perception.depth.trust.fusion import Weighed, absent, weigh
from ssl_perception.depth.trust.persistence import load_trust, save_trust
from ssl_perception.depth.trust.state import Driver, Trust, rates
from ssl_perception.io import images
from ssl_perception.io.cue_sync import CueSync, Frame, Side
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    ObstacleScan,
)
from ssl_perception_ros import messages
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode, run
from ssl_perception_ros.settings import ObstacleDistance as Settings

BLIND_PERIOD = 0.1  # s between scans that say "unknown" while no depth comes
FLUSH_PERIOD = 0.05  # s between looks for frames that have waited long enough for their partner
SAVE_PERIOD = 10.0  # s between writes of the trust file


class Arrival(NamedTuple):
    """A depth image, its camera, whose it is, and when it came on the steady clock."""

    side: Side
    message: Image
    info: CameraInfo
    seconds: float


class Depth(NamedTuple):
    """A depth image understood."""

    arrival: Arrival
    depth: DepthMap


class ObstacleDistance(PerceptionNode):
    sections = ("scan", "trust")
    own = Settings

    def __init__(self) -> None:
        super().__init__("obstacle_distance")
        self._trust = Trust()

    def prepare(self) -> None:
        self.health = Health("depth images", self.settings.timeout)
        depth = max(5, self.settings.queue)
        self._scan = self.publish_on(LaserScan, "obstacle_distance", depth)
        self._range = self.publish_on(Range, "obstacle_range", depth)
        self._depth = self.publish_on(Image, "depth", depth)
        self._trust = Trust()
        if self.settings.trust_file:
            path = Path(self.settings.trust_file)
            self._trust, problem = load_trust(path, self.config.trust)
            if problem:
                self.complain(problem)

    def begin(self) -> None:
        queue = self.settings.queue
        self._infos: dict[Side, CameraInfo] = {}
        self._last = (0, 0.0)  # newest source stamp, ns, and when it came on the steady clock
        self._frame = ""
        self._student_seen = False
        self._one_at_a_time = threading.Lock()  # the worker and the timer both weigh frames
        self._sync: CueSync[Depth] = CueSync(silence=self.settings.timeout)
        # the very first depth may come before its camera is known
        self._without_info: dict[Side, deque[Image]] = {
            "stereo": deque(maxlen=queue),
            "mono": deque(maxlen=queue),
        }
        self._work = self.work_on(self._see, 2 * queue)
        self._listen("stereo")
        self._listen("mono")
        self.every(BLIND_PERIOD, self._watch)
        self.every(FLUSH_PERIOD, self._flush)
        self.every(SAVE_PERIOD, self._save)

    def end(self) -> None:
        self.guarded(self._save)()

    def _listen(self, side: Side) -> None:
        def info(message: CameraInfo) -> None:
            self._infos[side] = message
            while self._without_info[side]:
                self._take(side, self._without_info[side].popleft())

        depth = max(5, self.settings.queue)
        self.subscribe(CameraInfo, f"{side}/camera_info", info, depth)
        self.subscribe(Image, f"{side}/depth", lambda message: self._take(side, message), depth)

    def _take(self, side: Side, message: Image) -> None:
        waiting = self._without_info[side]
        if side not in self._infos:
            # not input yet: the watchdog goes on telling that nothing is known
            if len(waiting) == waiting.maxlen:
                self.health.refuse(f"no {side}/camera_info")
                self.complain(f"no {side}/camera_info: depth images can't be used")
            waiting.append(message)
            return
        self.health.input()
        now = time.perf_counter()
        self._last = (stamp_ns(message.header.stamp), now)
        self._work.offer(Arrival(side, message, self._infos[side], now))

    def _see(self, arrival: Arrival) -> None:
        stamp = stamp_ns(arrival.message.header.stamp)
        values = images.decode_depth(arrival.message)
        known = bool(np.isfinite(values).any())
        cue = Cue.STEREO if arrival.side == "stereo" else Cue.MONO
        depth = DepthMap(
            values,
            images.camera_model(arrival.info),
            stamp * 1e-9,
            cue if known else Cue.NONE,
            valid=known,
            reason="" if known else f"{arrival.side} knows no depth in the whole image",
        )
        with self._one_at_a_time:
            self._student_seen = self._student_seen or arrival.side == "mono"
            now = time.perf_counter()
            for frame in self._sync.add(arrival.side, stamp, Depth(arrival, depth), now):
                self._weigh(frame)

    def _flush(self) -> None:
        if self.active and self._one_at_a_time.acquire(blocking=False):
            try:
                for frame in self._sync.overdue(time.perf_counter()):
                    self._weigh(frame)
            finally:
                self._one_at_a_time.release()

    def _weigh(self, frame: Frame[Depth]) -> None:
        """One image's worth of both cues: who may be believed, and what the scan is."""
        there = frame.stereo or frame.mono
        assert there is not None
        if not self._student_seen:
            self._answer(there, obstacle_scan(there.depth, self.config.scan), None)
            return
        stamp, camera = frame.stamp_ns * 1e-9, there.depth.camera
        stereo = frame.stereo.depth if frame.stereo else absent(Cue.STEREO, camera, stamp, "")
        mono = frame.mono.depth if frame.mono else absent(Cue.MONO, camera, stamp, "")
        weighed = weigh(self._trust, stereo, mono, self.config.scan, self.config.trust)
        self._trust = weighed.trust
        alone = self._trust.driver is Driver.STEREO or self._trust.overriding
        in_use = frame.stereo if alone else frame.mono
        self._answer(in_use or there, weighed.scan, weighed)

    def _answer(self, source: Depth, scan: ObstacleScan, weighed: Weighed | None) -> None:
        message = source.arrival.message
        stamp = stamp_ns(message.header.stamp)
        self._frame = scan.frame
        self._publish(scan, stamp)
        if scan.cue is not Cue.NONE:
            self._depth.publish(message)
        age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        values = {
            "age_s": f"{age:.3f}",
            "cue": scan.cue.value,
            "known_sectors": int((~np.isnan(scan.ranges)).sum()),
            "nearest_ahead_m": f"{nearest_ahead(scan, self.settings.ahead / 2):.2f}",
        }
        warning = error = ""
        if weighed is None:
            warning = source.depth.reason
        else:
            values |= self._evidence(weighed.trust, stamp)
            if weighed.trust.driver is Driver.NONE:
                error = f"nothing is known: {weighed.trust.reason}"
            elif weighed.trust.driver is Driver.MONO:
                warning = f"on one eye: {weighed.trust.reason}"
        self.health.publish(
            time.perf_counter() - source.arrival.seconds, values, warning, error=error
        )

    def _evidence(self, trust: Trust, stamp: int) -> dict[str, object]:
        """The trust state and what it is based on, for /diagnostics."""
        z = self.config.trust.z
        marks = {
            f"under_{side}_{name}": f"{value:.3f}" if isinstance(value, float) else value
            for side, tally in (("stereo", trust.under_stereo), ("mono", trust.under_mono))
            for name, value in rates(tally, trust.threshold, z)._asdict().items()
        }
        age = stamp * 1e-9 - trust.last_sample
        return {
            "trust": trust.driver.value,
            "reason": trust.reason,
            "trusted": trust.trusted,
            "threshold_m": f"{trust.threshold:.2f}",
            "overrides": trust.overrides,
            "teacher_suspect": trust.teacher_suspect,
            "last_test_s": "never" if math.isinf(age) else f"{age:.1f}",
            "late_frames": self._sync.late,
            **marks,
        }

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
        nothing = absent(Cue.NONE, camera, stamp * 1e-9, "silence")
        self._publish(obstacle_scan(nothing, self.config.scan, self._frame), stamp)

    def _publish(self, scan: ObstacleScan, stamp: int) -> None:
        self._scan.publish(messages.laser_scan(scan, stamp, self.settings.mavros))
        width = self.settings.ahead
        distance = nearest_ahead(scan, width / 2)
        self._range.publish(messages.nearest_range(distance, width, scan, stamp))

    def _save(self) -> None:
        if self.settings.trust_file and self._student_seen:
            try:
                save_trust(Path(self.settings.trust_file), self._trust)
            except OSError as error:
                self.complain(f"{self.settings.trust_file}: {error.strerror}; trust is not kept")


def main() -> int:
    return run(ObstacleDistance)


if __name__ == "__main__":
    raise SystemExit(main())
