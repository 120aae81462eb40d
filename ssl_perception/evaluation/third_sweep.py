"""The third-sweep test: detected movers against a sweep that the detection never used.

It needs no labels. A detection is made from sweeps k - 1 and k. Moved on by its velocity to the
time of sweep k + 1, and taken there with the ego motion, a true mover lies on that sweep; a false
one lay better before. It is *confirmed* when its mean nearest-neighbour distance (each capped at
1 m) is below 0.8 of what it is without moving. What gets less than 0.2 m from one sweep to the next
is judged by a later sweep, at most the fifth after it: nearer, the spacing of the points would
decide. The test can't tell a mover from a wall that the
detection slides along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.flow.segmentation import moving_clusters
from ssl_perception.types import FloatArray

CAP = 1.0  # m
CONFIRMED_BELOW = 0.8
MIN_POINTS = 10
MIN_DISPLACEMENT = 0.2  # m, by which a mover must have got on until it is judged ...
LATEST = 5  # ... but by no later sweep than this after it
FIRST_JUDGED = 2  # index of the third sweep: the first detections have no history behind them


@dataclass(frozen=True)
class Verdict:
    """One detected mover, judged.

    Attributes:
        sweep: index of the sweep that it was detected in.
        points: its size.
        centre: (3,) m, in that sweep's frame.
        velocity: (3,) m/s, as detected.
        moved, unmoved: mean capped distances to the next sweep, m.
    """

    sweep: int
    points: int
    centre: tuple[float, float, float]
    velocity: tuple[float, float, float]
    moved: float
    unmoved: float

    @property
    def confirmed(self) -> bool:
        return self.moved < CONFIRMED_BELOW * self.unmoved


class ThirdSweepTest:
    """Judges the detections of one drive; ``add`` its results in the order of time.

    Attributes:
        verdicts: so far. What has no later sweep to be judged by gets none.
        judged: sweeps whose detections were taken in.
    """

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.judged = 0
        self._sweep = -1
        self._previous: SweepFlow | None = None
        self._pending: list[_Detection] = []

    def add(self, result: SweepFlow) -> None:
        """Take the result of the next sweep: judge those before by it."""
        motion = result.current_from_previous
        if motion is None:
            self._pending.clear()
        elif self._previous is not None and self._sweep >= FIRST_JUDGED:
            interval = result.cloud.stamp - self._previous.cloud.stamp
            self._pending += _detections(self._sweep, self._previous, interval)
            self.judged += 1
        if motion is not None and self._pending:
            tree = cKDTree(result.cloud.points)
            for detection in self._pending:
                detection.now_from_then = motion @ detection.now_from_then
                detection.wait -= 1
                if detection.wait == 0:
                    self.verdicts.append(_verdict(detection, result.cloud.stamp, tree))
            self._pending = [detection for detection in self._pending if detection.wait > 0]
        self._previous = result
        self._sweep += 1


@dataclass(eq=False)
class _Detection:
    """A detected mover that waits for the sweep to be judged by."""

    sweep: int
    stamp: float
    points: FloatArray
    velocity: FloatArray
    wait: int
    now_from_then: NDArray[np.float64]


def _detections(sweep: int, result: SweepFlow, interval: float) -> list[_Detection]:
    labels = moving_clusters(result.cloud, result.flow.moving)
    found = []
    for label in range(int(labels.max(initial=-1)) + 1):
        mine = labels == label
        if mine.sum() < MIN_POINTS:
            continue
        velocity = result.flow.velocity[mine]
        step = float(np.linalg.norm(velocity.mean(axis=0))) * interval
        wait = min(max(math.ceil(MIN_DISPLACEMENT / max(step, 1e-6)), 1), LATEST)
        points = result.cloud.points[mine]
        found.append(_Detection(sweep, result.cloud.stamp, points, velocity, wait, np.eye(4)))
    return found


def _verdict(detection: _Detection, stamp: float, tree: cKDTree) -> Verdict:
    rotation = detection.now_from_then[:3, :3]
    translation = detection.now_from_then[:3, 3]

    def distance(points: FloatArray) -> float:
        nearest, _ = tree.query(points @ rotation.T + translation, distance_upper_bound=CAP)
        return float(np.minimum(nearest, CAP).mean())

    points, velocity = detection.points, detection.velocity
    return Verdict(
        detection.sweep,
        len(points),
        tuple(points.mean(axis=0).tolist()),
        tuple(velocity.mean(axis=0).tolist()),
        distance(points + velocity * np.float32(stamp - detection.stamp)),
        distance(points),
    )


def third_sweep_figures(verdicts: Sequence[Verdict], sweeps_judged: int) -> dict[str, float]:
    """Counts by name: clusters, points and clusters per sweep, confirmed and unconfirmed."""
    figures: dict[str, float] = {"sweeps_judged": sweeps_judged}
    for name, wanted in (("confirmed", True), ("unconfirmed", False)):
        chosen = [verdict for verdict in verdicts if verdict.confirmed is wanted]
        figures[f"{name}_clusters"] = len(chosen)
        figures[f"{name}_points"] = sum(verdict.points for verdict in chosen)
        figures[f"{name}_per_sweep"] = len(chosen) / sweeps_judged
    return figures
