"""``ssl-perception experiment faults``: the stereo camera breaks while a learning drone turns.

A drone learns from stereo in a room, under the gate. Then each fault sets in at a random moment of
a turn, and lasts. What counts: how long the pipeline goes on relying on stereo that is wrong, how
many sectors with an obstacle nearer than ``NEAR`` the scan it gives calls free, and what the
learner would have learnt by the end, after what it takes back. The truth is the simulator's.
"""

from __future__ import annotations

import math
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
from ssl_perception.types import ActiveCue, DepthMap, FloatArray
from ssl_perception_sim.experiments.new_room import FREE, NEAR, learn_at_home
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import DRONE
from ssl_perception_sim.sensors.faults import Decalibration, Fault, Lag, right_turn
from ssl_perception_sim.sensors.picture_faults import Blur, Dirt, Gain, Night, Picture, Swapped
from ssl_perception_sim.world.randomness import stream

Image = NDArray[np.uint8]
FAULTS = (
    "none", "left frozen", "both frozen", "right 33 ms late", "right 1 frame late",
    "right 3 frames late", "swapped",
    "dirt on the left", "right gain 2", "right gain 0.5", "night", "blur", "yaw +1 px",
    "yaw -1 px", "yaw +3 px", "yaw -3 px", "yaw drift +0.02 deg/s", "yaw drift -0.02 deg/s",
)  # fmt: skip
LAGS = {"right 33 ms late": 0.033, "right 1 frame late": 0.1, "right 3 frames late": 0.3}  # s
SECONDS, DRIFT_SECONDS = 5.0, 60.0
WARM_UP = 8.0  # s of flight before a fault may set in


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


def faults_named(name: str, start: float, focal: float) -> list[Fault]:
    """The simulator's faults, from ``start`` (s) on.

    Args:
        name: of ``FAULTS``.
        focal: px, in which the sideways turns of the right camera are told.
    """
    spell = {"start": start}
    if name in LAGS:
        return [Lag(lag=LAGS[name], **spell)]
    if name.startswith("yaw"):
        size = float(name.split()[-2])
        if name.startswith("yaw drift"):
            return [Decalibration(about="yaw", angle=0.0, rate=size, **spell)]
        return [Decalibration(about="yaw", angle=math.degrees(math.atan(size / focal)), **spell)]
    simple: dict[str, list[Fault]] = {
        "none": [],
        "left frozen": [Picture(fault="camera_frozen", side="left", **spell)],
        "both frozen": [Picture(fault="camera_frozen", side="both", **spell)],
        "swapped": [Swapped(**spell)],
        "dirt on the left": [Dirt(side="left", share=0.4, **spell)],
        "right gain 2": [Gain(factor=2.0, **spell)],
        "right gain 0.5": [Gain(factor=0.5, **spell)],
        "night": [Night(**spell)],
        "blur": [Blur(**spell)],
    }
    return simple[name]


def metre_reads(faults: Sequence[Fault], time: float, focal: float, baseline: float) -> float:
    """What an obstacle at 1 m reads at ``time`` (s) in the middle of the image, m; NaN where no
    camera has turned."""
    turn = right_turn(faults, time)
    if turn is None:
        return math.nan
    disparity = focal * baseline
    left = disparity + focal * turn[0, 2] / turn[2, 2]
    return disparity / left if left > 0 else math.inf


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
    broken: list[Fault] = []
    began = math.inf
    noticed, reads = math.inf, math.nan
    near = false_free = 0
    unknown: list[float] = []
    for frame in flight.fly(3.0):
        now = frame.pair.stamp
        turning = flight.avoid.state in ("turn", "extra")
        pair = frame.pair
        if math.isinf(began) and now >= earliest and (turning or now >= earliest + 30.0):
            began, focal, baseline = now, pair.camera.fx, pair.baseline
            broken = faults_named(fault, flight.world.time, focal)
            flight.suffer(*broken)
        clean = pseudo_label(DepthMap(frame.depth, pair.camera))
        labels.truth = clean
        result = pipeline.process(replace(pair, stamp=now + stamp))
        flight.command = flight.avoid.command(result.scan)
        if now <= began:  # the last whole pair
            continue
        if now > began + lasts:
            break
        relied = result.trust.active_cue in (ActiveCue.STEREO, ActiveCue.GUARDED)
        if not relied and math.isinf(noticed):
            noticed, reads = now - began, metre_reads(broken, now, focal, baseline)
        truth = obstacle_scan(DepthMap(frame.depth, pair.camera), pipeline.config.scan).ranges
        seen = ~np.isnan(truth)
        close = seen & (truth < NEAR)
        near += int(close.sum())
        false_free += int((result.scan.ranges[close] >= FREE).sum())
        if seen.any():
            unknown.append(float(np.isnan(result.scan.ranges[seen]).mean()))
    if math.isinf(noticed):
        reads = metre_reads(broken, began + lasts, focal, baseline)
    errors = [error for when, error in labels.kept if when > began + stamp + 1e-6]
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


def _number(value: float) -> str:
    return "never" if math.isinf(value) else "" if math.isnan(value) else f"{value:.1f}"
