"""``ssl-perception experiment faults``: the stereo camera breaks while a learning drone turns.

A drone learns from stereo in a room, under the gate. Then each fault sets in at a random moment of
a turn, and lasts. What counts: how long the pipeline goes on relying on stereo that is wrong, how
many sectors with an obstacle nearer than ``NEAR`` the scan it gives calls free, and what the
learner would have learnt by the end, after what it takes back. The truth is the simulator's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ssl_perception.config import override
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.scan import obstacle_scan
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.runtime.console import progress_bar
from ssl_perception.types import ActiveCue, CameraModel, DepthMap, FloatArray, StereoPair
from ssl_perception_sim.experiments.new_room import FREE, NEAR, learn_at_home
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import DRONE
from ssl_perception_sim.world.randomness import stream

Image = NDArray[np.uint8]
FAULTS = (
    "none", "left frozen", "both frozen", "right 33 ms late", "right 1 frame late",
    "right 3 frames late", "swapped",
    "dirt on the left", "right gain 2", "right gain 0.5", "night", "blur", "yaw +1 px",
    "yaw -1 px", "yaw +3 px", "yaw -3 px", "yaw drift +0.02 deg/s", "yaw drift -0.02 deg/s",
)  # fmt: skip
SECONDS, DRIFT_SECONDS = 5.0, 60.0
WARM_UP = 8.0  # s of flight before a fault may set in
LATE = 0.033  # s
_DRIFT = 0.02  # degrees a second


@dataclass(frozen=True)
class FaultScore:
    """One fault in one room.

    Attributes:
        room: seed. fault: of ``FAULTS``.
        noticed: s until stereo was no longer relied on; Inf: never.
        reads: what an obstacle at 1 m read by then (a yaw error alone; NaN for other faults).
        near: sectors with an obstacle nearer than ``NEAR``; false_free: of them, read free.
        unknown: share of the sectors in view.
        learnt: labels that were kept. label_error: their median absolute error, a share.
    """

    room: int
    fault: str
    noticed: float
    reads: float
    near: int
    false_free: int
    unknown: float
    learnt: int
    label_error: float


class Broken:
    """Applies one fault to pairs, from ``start`` seconds on."""

    def __init__(self, fault: str, start: float, focal: float, baseline: float) -> None:
        self.fault, self.start = fault, start
        self._focal, self._baseline = focal, baseline
        self._before: deque[StereoPair] = deque(maxlen=4)
        self._rng = np.random.default_rng(0)
        self._spots: NDArray[np.float32] | None = None

    def shift(self, stamp: float) -> float:
        """px by which the right image is off in its middle, sideways."""
        if self.fault.startswith("yaw drift"):
            degrees = math.copysign(_DRIFT, float(self.fault.split()[2])) * (stamp - self.start)
            return self._focal * math.tan(math.radians(degrees))
        if self.fault.startswith("yaw"):
            return float(self.fault.split()[1])
        return 0.0

    def reads(self, stamp: float) -> float:
        """What an obstacle at 1 m reads by now, m; NaN for a fault that shifts nothing."""
        if not self.fault.startswith("yaw"):
            return math.nan
        disparity = self._focal * self._baseline
        left = disparity - self.shift(stamp)
        return disparity / left if left > 0 else math.inf

    def apply(self, pair: StereoPair, earlier: Image | None = None) -> StereoPair:
        """The pair as the broken camera gives it.

        Args:
            earlier: the right image of ``LATE`` seconds before; needed where that is the fault.
        """
        history = list(self._before)
        self._before.append(pair)
        if pair.stamp < self.start or not history:
            return pair
        left, right = pair.left, pair.right
        if self.fault == "swapped":
            left, right = right, left
        elif self.fault == "right 33 ms late" and earlier is not None:
            right = earlier
        elif self.fault == "right 1 frame late":
            right = history[-1].right
        elif self.fault == "right 3 frames late":
            right = history[-min(3, len(history))].right
        elif self.fault == "right gain 2":
            right = _gain(right, 2.0)
        elif self.fault == "right gain 0.5":
            right = _gain(right, 0.5)
        elif self.fault == "night":
            left, right = self._dark(left), self._dark(right)
        elif self.fault == "blur":
            left = np.asarray(cv2.GaussianBlur(left, (0, 0), 5.0), np.uint8)
        elif self.fault == "dirt on the left":
            left = self._dirty(left)
        elif shift := self.shift(pair.stamp):
            right = _turned(right, shift / self._focal, pair.camera)
        broken = replace(pair, left=left, right=right)
        if self.fault in ("left frozen", "both frozen"):
            last = history[-1]
            right = last.right if self.fault == "both frozen" else right
            broken = replace(pair, left=last.left, right=right)
            self._before[-1] = broken  # it stays what it was
        return broken

    def _dark(self, image: Image) -> Image:
        noisy = image * 0.04 + self._rng.normal(0.0, 3.0, image.shape)
        return np.clip(noisy + 2.0, 0, 255).astype(np.uint8)

    def _dirty(self, image: Image) -> Image:
        if self._spots is None:
            field = self._rng.standard_normal(image.shape[:2], dtype=np.float32)
            field = np.asarray(cv2.GaussianBlur(field, (0, 0), image.shape[0] / 16), np.float32)
            level = np.quantile(field, 0.6)
            self._spots = np.clip((field - level) / (0.3 * field.std()) + 0.5, 0, 1)
        murky = cv2.GaussianBlur(image, (0, 0), 6.0) * 0.35 + 12.0
        cover = self._spots if image.ndim == 2 else self._spots[..., None]
        return np.rint(image * (1 - cover) + murky * cover).astype(np.uint8)


class _Labels:
    """Stands in the learner's place: keeps what it would learn, and takes back what it is told."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, float]] = []  # stamp, error
        self.truth: FloatArray | None = None

    def learn(self, image: Image, label: FloatArray, stamp: float) -> object:
        assert self.truth is not None
        known = np.isfinite(label) & np.isfinite(self.truth)
        if known.any():
            error = float(np.median(np.abs(np.expm1(label - self.truth)[known])))
            self.kept.append((stamp, error))
        return None

    def take_back(self, since: float) -> int:
        before = len(self.kept)
        self.kept = [entry for entry in self.kept if entry[0] < since]
        return before - len(self.kept)


def break_down(pipeline: DepthPipeline, room: int, fault: str, stamp: float) -> FaultScore:
    """One flight in which ``fault`` sets in.

    Args:
        pipeline: isn't changed: a fork of it flies.
        stamp: s, of the first frame: the clock of the flight before goes on.
    """
    rng = stream(room, f"fault {fault}")
    flight = RoomFlight(room, start=2)
    pipeline = pipeline.fork()
    labels = _Labels()
    pipeline.learner = labels
    earliest = WARM_UP + float(rng.uniform(0.0, 6.0))
    lasts = DRIFT_SECONDS if "drift" in fault else SECONDS
    broken: Broken | None = None
    noticed, reads = math.inf, math.nan
    near = false_free = 0
    unknown: list[float] = []
    for frame in flight.fly(3.0):
        now = frame.pair.stamp
        turning = flight.avoid.state in ("turn", "extra")
        if broken is None and now >= earliest and (turning or now >= earliest + 30.0):
            broken = Broken(fault, now, frame.pair.camera.fx, frame.pair.baseline)
        pair = frame.pair
        if broken is not None:
            pair = broken.apply(pair, _late_image(flight, now) if "33 ms" in fault else None)
        clean = pseudo_label(DepthMap(frame.depth, pair.camera))
        labels.truth = clean
        result = pipeline.process(replace(pair, stamp=now + stamp))
        flight.command = flight.avoid.command(result.scan)
        if broken is None or now <= broken.start:  # the last whole pair is what late ones show
            continue
        if now > broken.start + lasts:
            break
        relied = result.trust.active_cue in (ActiveCue.STEREO, ActiveCue.GUARDED)
        if not relied and math.isinf(noticed):
            noticed, reads = now - broken.start, broken.reads(now)
        truth = obstacle_scan(DepthMap(frame.depth, pair.camera), pipeline.config.scan).ranges
        seen = ~np.isnan(truth)
        close = seen & (truth < NEAR)
        near += int(close.sum())
        false_free += int((result.scan.ranges[close] >= FREE).sum())
        if seen.any():
            unknown.append(float(np.isnan(result.scan.ranges[seen]).mean()))
    assert broken is not None
    if math.isinf(noticed):
        reads = broken.reads(broken.start + lasts)
    errors = [error for when, error in labels.kept if when > broken.start + stamp + 1e-6]
    return FaultScore(
        room,
        fault,
        noticed,
        reads,
        near,
        false_free,
        float(np.mean(unknown)) if unknown else math.nan,
        len(errors),
        float(np.median(errors)) if errors else math.nan,
    )


def run_faults(
    rooms: Sequence[int],
    learn: float,
    faults: Sequence[str],
    settings: Sequence[str],
    json_file: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Fly, print the table, write the figures."""
    cv2.setNumThreads(1)
    config = override(DRONE, list(settings))
    scores: list[FaultScore] = []
    with progress_bar(console) as bar:
        task = bar.add_task("flights", total=len(rooms) * len(faults))
        for room in rooms:
            pipeline, stamp = learn_at_home(room, learn, config)
            for fault in faults:
                scores.append(break_down(pipeline, room, fault, stamp + 0.1))
                bar.advance(task)
    table = Table(
        "fault", "noticed after, s", "1 m reads", "near sectors", "read free", "unknown",
        "labels kept", "their error",
    )  # fmt: skip
    for fault in faults:
        of_fault = [score for score in scores if score.fault == fault]
        errors = [score.label_error for score in of_fault if score.learnt]
        table.add_row(
            fault,
            " ".join(_number(score.noticed) for score in of_fault),
            " ".join(_number(score.reads) for score in of_fault),
            str(sum(score.near for score in of_fault)),
            str(sum(score.false_free for score in of_fault)),
            f"{np.nanmean([score.unknown for score in of_fault]):.0%}",
            str(sum(score.learnt for score in of_fault)),
            f"{np.mean(errors):.1%}" if errors else "",
        )
    console.print(table)
    console.print(
        "noticed after: s until stereo was no longer relied on, room by room. 1 m reads: what an "
        "obstacle at 1 m read then. Kept: after what was taken back."
    )
    figures = {"rooms": list(rooms), "free": FREE, "near": NEAR}
    if json_file is not None:
        write_json(json_file, {**figures, "scores": [asdict(score) for score in scores]})
    return {**figures, "scores": scores}


def _late_image(flight: RoomFlight, now: float) -> Image:
    """What the right camera saw ``LATE`` seconds ago."""
    world = flight.world
    assert world.camera is not None
    moment = now - LATE
    return world.camera.capture(world.vehicle.motion, moment, round(moment * 1000)).pair.right


def _number(value: float) -> str:
    return "never" if math.isinf(value) else "" if math.isnan(value) else f"{value:.1f}"


def _gain(image: Image, factor: float) -> Image:
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def _turned(image: Image, angle: float, camera: CameraModel) -> Image:
    """As a camera sees it that is turned left by ``angle``, rad."""
    height, width = image.shape[:2]
    pinhole = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    move = pinhole @ turn @ np.linalg.inv(pinhole)
    seen = cv2.warpPerspective(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.uint8)
