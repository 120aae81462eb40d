"""Are the sensors fit to start with? Rates, stamps, frames, mounting and calibration, looked at in
the first seconds of a log: what is wrong by name, and how to mend it.

What the pipeline itself doubts (how the lidar is mounted, stereo against the lidar, odometry
against the sweeps) is taken from it; what no result shows, such as a field of view that no lens
has, is asked here.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ssl_perception.config import Config
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.errors import InputError
from ssl_perception.flow.online.mounting import SETTLED, Mounting
from ssl_perception.io.bag_log import BagLog
from ssl_perception.io.log import Log
from ssl_perception.io.stream_check import Finding, Header, StreamCheck, offsets
from ssl_perception.io.topic_choice import Chosen
from ssl_perception.pipeline import Perception
from ssl_perception.types import CameraImage, CameraModel, Odometry, PointCloud, StereoPair

SLOWEST_CAMERA = 0.5  # s
SLOWEST_ODOMETRY = 0.12  # s; a pose is carried on for 0.1 s
VIEW = np.deg2rad(15.0), np.deg2rad(140.0)  # horizontal fields of view of a pinhole camera
CENTRE = 0.25  # of the image's size that the principal point may lie from its middle
SQUARE = 1.1  # fx over fy of a rectified camera, and its inverse
BASELINE = 0.02, 2.0  # m, of stereo cameras on robots
TOGETHER = 0.001  # s that left and right may be taken apart: 1 px at 1 rad/s and fx 1000
ROWS = 0.3  # px, median offset from which the gate isn't far
MAX_YAW = 0.015  # rad; half of it is a good calibration's residue, see ``stereo.max_yaw_once``
STRANGE = 0.2  # share of frames that may be refused
LONG = 1.5  # periods that the points of a sweep may span
ASKED = 20  # stereo pairs that are measured


@dataclass
class Preflight:
    """What was found.

    Attributes:
        findings: what is wrong; empty: nothing.
        streams: per topic its rate, jitter, ...
        figures: of mounting and calibration, as far as measured.
        unknown: what couldn't be checked, and why.
    """

    findings: list[Finding] = field(default_factory=list)
    streams: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "fit": not self.findings,
            "findings": [asdict(found) for found in self.findings],
            "streams": self.streams,
            "figures": self.figures,
            "unknown": self.unknown,
        }

    def say(self, subject: str, wrong: str, mend: str) -> None:
        self.findings.append(Finding(subject, wrong, mend))


def preflight(log: Log, config: Config, seconds: float = 5.0) -> Preflight:
    """Check the sensors of a log by what it holds of the first ``seconds``.

    Raises:
        InputError: the log can't be read.
    """
    found = Preflight()
    topics = log.topics if isinstance(log, BagLog) else Chosen()
    _streams(list(log.headers(seconds)), topics, config, found)
    _contents(log, config, seconds, found)
    return found


def stream_check(topic: str, kind: str, config: Config) -> StreamCheck:
    """The check of one topic's headers.

    Args:
        kind: points, image or odom.
    """
    if kind == "points":
        return StreamCheck(topic, config.flow.max_gap, config.online.min_interval)
    return StreamCheck(topic, SLOWEST_ODOMETRY if kind == "odom" else SLOWEST_CAMERA)


def _streams(headers: list[Header], topics: Chosen, config: Config, found: Preflight) -> None:
    checks: dict[str, StreamCheck] = {}
    for header in headers:
        if header.topic not in checks:
            kind = "odom" if header.topic == topics.odom else "image"
            kind = "points" if header.topic in (topics.points, "points") else kind
            checks[header.topic] = stream_check(header.topic, kind, config)
        checks[header.topic].add(header)
    for check in checks.values():
        found.findings += check.findings()
        period = check.period
        found.streams.append(
            {
                "topic": check.topic,
                "messages": check.count,
                "hz": 1.0 / period if period > 0.0 else math.nan,
                "jitter_ms": 1e3 * check.jitter,
                "missing": check.missing,
                "frame": check.frame,
            }
        )
    for topic in (topics.points, topics.left_image, topics.right_image, topics.odom):
        if topic and topic not in checks:
            found.say(topic, "nothing in these seconds", "see that its driver runs")
    _between(checks, topics, config, found)


def _between(
    checks: dict[str, StreamCheck], topics: Chosen, config: Config, found: Preflight
) -> None:
    """What only two sensors together show: offsets of their stamps, frames that are one."""
    left, right = checks.get(topics.left_image), checks.get(topics.right_image)
    if left and right:
        apart, most = offsets(left.stamps, right.stamps)
        found.figures |= {"right_after_left_ms": 1e3 * apart, "left_right_apart_ms": 1e3 * most}
        tolerance = config.topics.stereo_tolerance
        if abs(apart) > tolerance:
            found.say(
                topics.right_image,
                f"right images are stamped {1e3 * apart:+.1f} ms after left ones: no pairs",
                f"trigger both cameras at once (topics.stereo_tolerance is {1e3 * tolerance:g} ms)",
            )
        elif abs(apart) > TOGETHER:
            found.say(
                topics.right_image,
                f"right images are stamped {1e3 * apart:+.1f} ms after left ones",
                "trigger both cameras at once: while the robot turns, depth is off",
            )
    points = checks.get(topics.points)
    for other in (left, checks.get(topics.odom)):
        if points is None or other is None:
            continue
        gap = max(
            int(points.stamps.min() - other.stamps.max()),
            int(other.stamps.min() - points.stamps.max()),
        )
        if gap > 1e9:
            found.say(
                other.topic,
                f"stamps lie {gap * 1e-9:.3g} s from those of {points.topic}",
                "let all sensors share one clock (PTP, NTP)",
            )
        if other is left and other.frame == points.frame:
            found.say(
                other.topic,
                f"images and sweeps both say frame {points.frame!r}",
                "give each sensor its own frame_id, with a transform between them",
            )


def _contents(log: Log, config: Config, seconds: float, found: Preflight) -> None:
    refused: Counter[str] = Counter()
    count, sweeps, spans, pairs = 0, 0, [], _Pairs(config)
    mounting: Mounting | None = None
    doubts: dict[str, str] = {}
    with Perception(config, camera_from_lidar=log.camera_from_lidar) as perception:

        def take(value: PointCloud | StereoPair | CameraImage | Odometry) -> None:
            nonlocal mounting, sweeps
            if isinstance(value, PointCloud):
                sweeps += 1
                if value.time is not None and len(value):
                    spans.append(float(np.ptp(value.time)))
                result = perception.sweep(value)
                mounting = result.mounting or mounting
                doubts["lidar"] = result.doubt
            elif isinstance(value, StereoPair):
                pairs.add(value)
                perception.stereo(value)
                doubts["stereo"] = perception.doubt
            elif isinstance(value, CameraImage):
                pairs.look(value.camera, None)
                pairs.judge(perception.image(value).stereo.reason)
            else:
                perception.odometry(value)

        for recorded in log.beginning(seconds, lambda error: refused.update([str(error)])):
            count += 1
            try:
                take(recorded.value)
            except InputError as error:
                refused[f"{recorded.topic}: {error}"] += 1
    for line, times in refused.most_common(5):
        found.say("messages", f"{times} can't be used: {line}", "see the driver that makes them")
    for subject, doubt in doubts.items():
        if doubt:
            found.say(subject, doubt, "see docs/ros.md on mounting and calibration")
    _mounting(mounting, sweeps, found)
    _point_times(spans, found)
    pairs.tell(found)
    if "stereo" in doubts and "lidar" in doubts and log.camera_from_lidar is None:
        found.unknown.append(
            "stereo against lidar: neither camera_mount nor tf_static says where the camera sits"
        )
    if not count:
        found.say("log", "nothing that can be used in these seconds", "see the lines above")


def _mounting(mounting: Mounting | None, sweeps: int, found: Preflight) -> None:
    if mounting is not None:
        roll, pitch = mounting.angles
        found.figures |= {
            "lidar_height_m": mounting.height,
            "lidar_roll_deg": math.degrees(roll),
            "lidar_pitch_deg": math.degrees(pitch),
        }
    elif sweeps:
        found.unknown.append("mounting of the lidar: no ground in its sweeps")
    if mounting is not None and sweeps < SETTLED:
        found.unknown.append(f"mounting against the settings: {sweeps} sweeps, {SETTLED} needed")


def _point_times(spans: list[float], found: Preflight) -> None:
    points = next((s for s in found.streams if s["topic"].endswith("points")), None)
    if not spans or points is None or not points["hz"] > 0.0:
        return
    span, period = float(np.median(spans)), 1.0 / points["hz"]
    found.figures["point_times_span_s"] = span
    if span > LONG * period or span == 0.0:
        found.say(
            points["topic"],
            f"times of the points span {span:.3g} s, sweeps come every {period:.3g} s",
            "point times must be seconds within the sweep: see the driver's field for them",
        )


class _Pairs:
    """Calibration, as stereo pairs show it."""

    def __init__(self, config: Config) -> None:
        self._matcher = StereoMatcher(config.stereo)
        self._rows: list[float] = []
        self._yaws: list[float] = []
        self._reasons: list[str] = []
        self._camera: tuple[CameraModel, float | None] | None = None

    def add(self, pair: StereoPair) -> None:
        self.look(pair.camera, pair.baseline)
        if len(self._reasons) < ASKED:
            match = self._matcher.match(pair)
            self._rows.append(match.row_offset)
            self._yaws.append(match.yaw)
            self.judge(match.reason)

    def look(self, camera: CameraModel, baseline: float | None) -> None:
        self._camera = camera, baseline

    def judge(self, reason: str) -> None:
        self._reasons.append(reason)

    def tell(self, found: Preflight) -> None:
        if self._camera is None:
            return
        camera, baseline = self._camera
        for wrong in camera_doubts(camera, baseline):
            found.say("camera_info", wrong, "calibrate again, or see what the driver publishes")
        bad = [reason for reason in self._reasons if reason]
        if len(bad) > STRANGE * len(self._reasons):
            usual = Counter(reason.partition(":")[0] for reason in bad).most_common(1)[0][0]
            found.say(
                "depth",
                f"{len(bad)} of {len(self._reasons)} frames refused, most for: {usual}",
                "look at the images: light, focus, what covers the lens; then the calibration",
            )
        rows, yaw = _median(self._rows), _median(self._yaws)
        found.figures |= {
            name: value
            for name, value in (("row_offset_px", rows), ("right_camera_yaw_px", yaw))
            if not math.isnan(value)
        }
        if abs(rows) > ROWS:
            found.say(
                "stereo", f"rows are off by {rows:+.2f} px", "calibrate the two cameras together"
            )
        if abs(yaw) > MAX_YAW * camera.fx:
            found.say(
                "stereo",
                f"right camera turned: disparities are {yaw:+.1f} px off",
                "calibrate the two cameras together; see that their mounts are tight",
            )


def camera_doubts(camera: CameraModel, baseline: float | None) -> list[str]:
    """What of a rectified camera's calibration no real one has.

    Args:
        baseline: m; None: one camera.
    """
    doubts = []
    view = 2.0 * math.atan(camera.width / (2.0 * camera.fx))
    if not VIEW[0] <= view <= VIEW[1]:
        doubts.append(
            f"fx {camera.fx:.4g} px is a field of view of {math.degrees(view):.0f} degrees"
        )
    if not 1.0 / SQUARE <= camera.fx / camera.fy <= SQUARE:
        doubts.append(f"fx {camera.fx:.4g} and fy {camera.fy:.4g} of square pixels are alike")
    for axis, centre, size in (
        ("cx", camera.cx, camera.width),
        ("cy", camera.cy, camera.height),
    ):
        if abs(centre - size / 2) > CENTRE * size:
            doubts.append(f"{axis} {centre:.4g} is far from the middle of {size} px")
    if baseline is not None and not BASELINE[0] <= baseline <= BASELINE[1]:
        doubts.append(f"baseline is {baseline:.4g} m: P[3] is -fx times baseline in metres")
    return doubts


def _median(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else math.nan
