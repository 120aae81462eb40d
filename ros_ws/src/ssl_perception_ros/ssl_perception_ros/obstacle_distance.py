"""Node ``obstacle_distance``: distance of the nearest obstacle in each direction, from the cue that
may be trusted now: stereo, the student guarded by stereo, the student alone, or none; and from the
lidar, where there is one.

Without a student it passes on what stereo says. When depth stops coming the scan goes on and says
what the lidar knows; when that stops too, that nothing is known.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, LaserScan, Range

from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.depth.trust.fusion import CueFusion, absent
from ssl_perception.depth.trust.persistence import load_trust, save_trust
from ssl_perception.depth.trust.state import ActiveCue, Trust
from ssl_perception.depth.trust.statistics import rate_bounds
from ssl_perception.errors import InputError
from ssl_perception.io import laser_scan, odometry
from ssl_perception.io.further_outputs import OF_DEPTH, OF_SCANS
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.io.stamp_sync import Absence, Group, StampSync
from ssl_perception.obstacles.fusion import fuse_scans
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import CameraModel, Cue, DepthMap, ObstacleScan
from ssl_perception_ros.depth_parts import depth_map
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.further_topics import further_topics
from ssl_perception_ros.messages import message_type
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import ObstacleDistanceSettings, consumer_of
from ssl_perception_ros.transforms import TF_STATIC, Transforms

BLIND_PERIOD = 0.1  # s between scans that say "unknown" while no depth comes
FLUSH_PERIOD = 0.05  # s between looks for frames that have waited long enough for their parts
SAVE_PERIOD = 10.0  # s between writes of the trust file
CUES = (Cue.STEREO, Cue.MONO)
DEPTHS = tuple(f"{cue.value}/depth" for cue in CUES)
PARTS = {
    **dict.fromkeys(DEPTHS, Image),
    "stereo/confidence": Image,
    "stereo/status": DiagnosticArray,
    "mono/status": DiagnosticArray,
}
LATE = 0.2  # s behind the other cue that is worth a warning


class Arrival(NamedTuple):
    """A message about one image, on which topic, and when it came on the steady clock."""

    part: str
    message: Any
    seconds: float


class ObstacleDistanceNode(PerceptionNode):
    sections = (
        *("teacher", "scan", "lidar_scan", "lidar_mount", "trust", "pseudo_label", "outputs"),
    )
    own = ObstacleDistanceSettings
    live = ("timeout", "ahead", "view")

    def __init__(self) -> None:
        super().__init__("obstacle_distance")

    def prepare(self) -> None:
        self.health = Health("depth images", self.settings.timeout, self.seconds)
        self._consumer = consumer_of(self.settings, self.config.scan.sectors)
        if self.settings.lidar_consumer != "rep117":
            raise InputError(
                f"parameter lidar_consumer: obstacle_distance reads the lidar's scan as REP 117 "
                f"has it, not for {self.settings.lidar_consumer}"
            )
        depth = max(5, self.settings.queue)
        self.publish_on(LaserScan, "obstacle_distance", depth)
        self.publish_on(Range, "obstacle_range", depth)
        self.publish_on(DiagnosticArray, "trust", depth)
        self.publish_on(Image, "depth", depth)
        made = (*OF_SCANS, *OF_DEPTH)
        self._further = further_topics(self, made, self.config.scan.sectors, depth)
        trust = Trust()
        if self.settings.trust_file:
            path = Path(self.settings.trust_file)
            trust, problem = load_trust(path, self.config.trust)
            if problem:
                self.complain(problem)
        kind = message_type("tf2_msgs/msg/TFMessage")
        if kind is not None:
            self.publish_on(kind, TF_STATIC, 1, latched=True)
        config = self._mounted = self.config
        self._fusion = CueFusion(
            config.scan, config.trust, trust, config.lidar_scan, config.lidar_mount
        )

    def begin(self) -> None:
        queue = self.settings.queue
        self._infos: dict[Cue, CameraInfo] = {}
        self._last = (0, 0.0)  # newest source stamp, ns, and when it came, as in seconds()
        self._frame = self.config.scan.frame
        self._transforms = Transforms(self, self.settings.base_frame)
        self._lidar: ObstacleScan | None = None
        self._lidar_came = -math.inf  # as in seconds()
        self._arrived = -math.inf  # the newest part of an image, on the steady clock
        self._held_back = False  # the watchdog, once, for the rest of an image
        self._student_seen = False
        self._skipped = 0  # images that mono answered to, and stereo, slower, did not
        self._poses: deque[Odometry] = deque(maxlen=1000)
        self._one_at_a_time = threading.Lock()  # the worker and the timer both fuse frames
        self._sync: StampSync[Arrival] = StampSync(
            PARTS, self.settings.cue_wait, self.settings.cue_wait_least, self.settings.timeout
        )
        # the very first depth may come before its camera is known
        self._without_info: dict[str, deque[Arrival]] = {d: deque(maxlen=queue) for d in DEPTHS}
        # parts of one image must not push each other out while the first scan is being laid out
        self._work = self.work_on(self._collect, len(PARTS) * (queue + 9))
        for cue in CUES:
            self._listen_to_camera(cue)
        depth = max(5, queue)
        for part, kind in PARTS.items():
            self.subscribe(kind, part, partial(self._take, part), depth)
        self.subscribe(LaserScan, "lidar/obstacle_distance", self._take_lidar, depth)
        self.subscribe(Odometry, "odom", self._poses.append, 100)
        self.every(BLIND_PERIOD, self._watch)
        self.every(FLUSH_PERIOD, self._flush)
        self.every(SAVE_PERIOD, self._save)

    def end(self) -> None:
        self.guarded(self._save)()

    def _listen_to_camera(self, cue: Cue) -> None:
        def info(message: CameraInfo) -> None:
            self._infos[cue] = message
            waiting = self._without_info[f"{cue.value}/depth"]
            while waiting:
                self._offer(waiting.popleft())

        self.subscribe(CameraInfo, f"{cue.value}/camera_info", info, max(5, self.settings.queue))

    def _take_lidar(self, message: LaserScan) -> None:
        """Keep it for the next image; while none come, it goes out by itself."""
        lidar = laser_scan.decode(message, speeds=True)
        stamp = stamp_ns(message.header.stamp)
        scan = self._without_depth(stamp, self._frame or lidar.frame, lidar)
        self._lidar, self._lidar_came = lidar, self.seconds()
        if self.active and self.health.silence > self.settings.timeout:
            self._publish(scan, stamp)

    def _take(self, part: str, message: Any) -> None:
        arrival = Arrival(part, message, time.perf_counter())
        waiting = self._without_info.get(part)
        if waiting is not None and Cue(part.split("/")[0]) not in self._infos:
            # not input yet: the watchdog goes on saying that nothing is known
            if len(waiting) == waiting.maxlen:
                topic = part.replace("/depth", "/camera_info")
                self.health.refuse(f"no {topic}")
                self.complain(f"no {topic}: depth images can't be used")
            waiting.append(arrival)
            return
        self._offer(arrival)

    def _offer(self, arrival: Arrival) -> None:
        if arrival.part in DEPTHS:
            self.health.input()
            self._last = (stamp_ns(arrival.message.header.stamp), self.seconds())
        self._arrived = arrival.seconds
        self._work.offer(arrival)

    def _collect(self, arrival: Arrival) -> None:
        with self._one_at_a_time:
            now = time.perf_counter()
            for part in PARTS:
                if not self._sync.expects(part) and self.published(part):
                    self._sync.expect(part)
            self._student_seen = self._sync.expects("mono/depth")
            stamp = stamp_ns(arrival.message.header.stamp)
            for group in self._sync.add(arrival.part, stamp, arrival, now):
                self._fuse(group)

    def _flush(self, now: float | None = None) -> None:
        if self.active and self._one_at_a_time.acquire(blocking=False):
            try:
                for group in self._sync.overdue(time.perf_counter() if now is None else now):
                    self._fuse(group)
            finally:
                self._one_at_a_time.release()

    def _fuse(self, group: Group[Arrival]) -> None:
        """One image's worth of both cues: which may be trusted, and what the scan is."""
        messages = {part: arrival.message for part, arrival in group.parts.items()}
        stamp = group.stamp_ns
        sources = {Cue.STEREO: Cue(self.config.teacher.source), Cue.MONO: Cue.MONO}
        found = {
            cue: depth_map(messages, cue, self._infos.get(cue), stamp, source)
            for cue, source in sources.items()
        }
        there = found[Cue.STEREO] or found[Cue.MONO]
        if there is None:  # a status whose depth image was lost
            return
        if group.absent.get("stereo/depth") is Absence.SKIPPED:
            # Stereo is slower than the camera. It has not failed, it has answered to a later image:
            # that one is next.
            self._skipped += 1
            return
        stereo = found[Cue.STEREO] or self._missing(Cue.STEREO, there, group)
        mono = label = None
        if self._student_seen:
            mono = found[Cue.MONO] or self._missing(Cue.MONO, there, group)
            if mono.valid:
                label = pseudo_label(stereo, self.config.pseudo_label, mono.depth.shape)
        self._look_up(there.camera.frame)
        self._travel()
        fused = self._fusion.update(stereo, mono, label, self._lidar)
        trust = fused.trust
        mono_active = trust.active_cue in (ActiveCue.GUARDED, ActiveCue.MONO)
        used = Cue.MONO if mono_active and not trust.overriding else Cue.STEREO
        if trust.active_cue is not ActiveCue.NONE and f"{used.value}/depth" in messages:
            self.output.forward("depth", messages[f"{used.value}/depth"])
            shown = mono if used is Cue.MONO else stereo
            if shown is not None:
                self._further.depth(stamp, shown)
        self._frame = fused.scan.frame
        self.output.trust(stamp, trust)
        self._publish(fused.scan, stamp)
        self._report(fused.scan, trust, stamp, min(a.seconds for a in group.parts.values()))

    def _look_up(self, camera: str) -> None:
        """How this camera is tilted, if only ``/tf_static`` says; then the level frame that the
        scan is in is told there as well."""
        config = self._transforms.complete(self.config, camera=camera)
        if config is self._mounted:
            return
        self._mounted = config
        self._fusion.mount_camera(config.scan)
        level = self._transforms.level_camera(camera)
        if level is not None and config.scan.frame != self.config.scan.frame:
            now = self.get_clock().now().nanoseconds
            base = self.settings.base_frame
            self.output.mounts(TF_STATIC, now, base, {config.scan.frame: level})

    def _travel(self) -> None:
        """The poses that have come since the last image."""
        try:
            while self._poses:
                self._fusion.travel(odometry.decode(self._poses.popleft()))
        except InputError as error:
            self.complain(f"odom: {error}")

    def _missing(self, cue: Cue, there: DepthMap, group: Group[Arrival]) -> DepthMap:
        """The depth map of a cue that hasn't answered to this image, and why."""
        depth = f"{cue.value}/depth"
        reason = f"no {cue.value} depth"
        if group.absent.get(depth) is Absence.LATE:
            lag = max(self._sync.lag(depth), self.settings.cue_wait)
            reason = f"{cue.value} is late: {lag * 1e3:.0f} ms behind"
        return absent(cue, there.camera, there.stamp, reason)

    def _report(self, scan: ObstacleScan, trust: Trust, stamp: int, arrived: float) -> None:
        age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        values = {
            "age_s": f"{age:.3f}",
            "cue": "none" if scan.cue is None else scan.cue.value,
            "known_sectors": int((~np.isnan(scan.ranges)).sum()),
            "nearest_ahead_m": f"{nearest_ahead(scan, self.settings.ahead / 2):.2f}",
            **self._evidence(trust, stamp),
        }
        warning = error = ""
        if trust.active_cue is ActiveCue.NONE:
            # stereo alone that sees nothing is a warning: no student was ever there to replace it
            text = f"nothing is known: {trust.reason}"
            warning, error = ("", text) if self._student_seen else (text, "")
        elif trust.active_cue is ActiveCue.MONO:
            warning = f"mono alone: {trust.reason}"
        lag = max(self._sync.lag(depth) for depth in DEPTHS)
        slow = f"cues are {1e3 * lag:.0f} ms apart" if lag > LATE else ""
        self.health.publish(time.perf_counter() - arrived, values, warning, slow, error=error)

    def _evidence(self, trust: Trust, stamp: int) -> dict[str, object]:
        """The trust state and what it is based on, for /diagnostics."""
        z = self.config.trust.z
        marks = {
            f"under_{side}_{name}": f"{value:.3f}" if isinstance(value, float) else value
            for side, tally in (("stereo", trust.under_stereo), ("mono", trust.under_mono))
            for name, value in rate_bounds(tally, trust.threshold, z)._asdict().items()
        }
        age = stamp * 1e-9 - trust.last_sample
        return {
            "trust": trust.active_cue.value,
            "reason": trust.reason,
            "trusted": trust.trusted,
            "threshold_m": f"{trust.threshold:.2f}",
            "overrides": trust.overrides,
            "teacher_suspect": trust.teacher_suspect,
            "last_test_s": "never" if math.isinf(age) else f"{age:.1f}",
            "last_test_m": f"{trust.travelled:.1f}",
            "skipped_by_stereo": self._skipped,
            "late_frames": sum(self._sync.late[depth] for depth in DEPTHS),
            "stereo_lag_ms": f"{1e3 * self._sync.lag('stereo/depth'):.0f}",
            "mono_lag_ms": f"{1e3 * self._sync.lag('mono/depth'):.0f}",
            **marks,
        }

    def _watch(self) -> None:
        """Depth has stopped, and so have sweeps: nothing is known, and nothing unknown is free."""
        if not self.active or self.health.silence <= self.settings.timeout:
            return
        if 0.0 <= self.seconds() - self._lidar_came <= self.config.lidar_scan.max_age:
            return  # the next sweep's scan says more
        if time.perf_counter() - self._arrived <= BLIND_PERIOD and not self._held_back:
            self._held_back = True  # a status has come, and its image may be on its way
            return
        self._held_back = False
        self._flush(math.inf)  # nothing more will come: what waits goes out before what is made up
        stamp, when = self._last
        if stamp:  # carry the source's clock on; the node's may be another one
            stamp += max(0, round((self.seconds() - when) * 1e9))
        else:
            stamp = self.get_clock().now().nanoseconds
        self._publish(self._without_depth(stamp, self._frame, None), stamp)

    def _without_depth(self, stamp: int, frame: str, lidar: ObstacleScan | None) -> ObstacleScan:
        """What is known without any depth image: what the lidar knows.

        Raises:
            InputError: its scan has other sectors than ours.
        """
        camera = CameraModel(1, 1, 1.0, 1.0, 0.0, 0.0, frame)
        nothing = absent(Cue.NONE, camera, stamp * 1e-9, "silence")
        scan = obstacle_scan(nothing, self.config.scan, frame)
        return fuse_scans(scan, lidar, self.config.lidar_scan.max_age)

    def _publish(self, scan: ObstacleScan, stamp: int) -> None:
        consumer, width = self._consumer, self.settings.ahead
        self.output.obstacle_distance(stamp, scan, consumer.scan, self.settings.view)
        self._further.scan(stamp, scan, self.settings.view)
        nearest = nearest_ahead(scan, width / 2, consumer.range.certain_up_to)
        self.output.obstacle_range(stamp, scan, nearest, width, consumer.range)

    def _save(self) -> None:
        if self.settings.trust_file and self._student_seen:
            try:
                save_trust(Path(self.settings.trust_file), self._fusion.trust)
            except OSError as error:
                self.complain(f"{self.settings.trust_file}: {error.strerror}; trust is not kept")


def main() -> int:
    return run(ObstacleDistanceNode)


if __name__ == "__main__":
    raise SystemExit(main())
