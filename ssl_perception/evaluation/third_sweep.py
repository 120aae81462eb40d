"""The third-sweep test: detected movers against a sweep that the detection never used.

It needs no labels. A detection is made from sweeps k - 1 and k. Moved on by its velocity to the
time of sweep k + 1, and taken there with the ego motion, a true mover lies on that sweep; a false
one lay better before. It is *confirmed* when its mean nearest-neighbour distance (each capped at
1 m) is below 0.8 of what it is without moving. The test can't tell a mover from a wall that the
detection slides along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ssl_perception.flow.online.online import SweepFlow
from ssl_perception.flow.segmentation import moving_clusters
from ssl_perception.types import FloatArray, PointCloud

CAP = 1.0  # m
CONFIRMED_BELOW = 0.8
MIN_POINTS = 10
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


def judge(
    sweep: int,
    detected: SweepFlow,
    following: PointCloud,
    following_from_detected: NDArray[np.float64],
    interval: float,
) -> list[Verdict]:
    """The detections of one sweep against the next one.

    Args:
        sweep: index of sweep k.
        detected: the result of sweep k.
        following: sweep k + 1, as measured.
        following_from_detected: (4, 4) ego motion.
        interval: seconds from k to k + 1.
    """
    labels = moving_clusters(detected.cloud, detected.flow.moving)
    tree = cKDTree(following.points)
    rotation, translation = following_from_detected[:3, :3], following_from_detected[:3, 3]

    def distance(points: FloatArray) -> float:
        nearest, _ = tree.query(points @ rotation.T + translation, distance_upper_bound=CAP)
        return float(np.minimum(nearest, CAP).mean())

    verdicts = []
    for label in range(int(labels.max(initial=-1)) + 1):
        mine = labels == label
        if mine.sum() < MIN_POINTS:
            continue
        points, velocity = detected.cloud.points[mine], detected.flow.velocity[mine]
        verdicts.append(
            Verdict(
                sweep,
                int(mine.sum()),
                tuple(points.mean(axis=0).tolist()),
                tuple(velocity.mean(axis=0).tolist()),
                distance(points + velocity * np.float32(interval)),
                distance(points),
            )
        )
    return verdicts


def third_sweep_figures(verdicts: Sequence[Verdict], sweeps_judged: int) -> dict[str, float]:
    """Counts by name: clusters, points and clusters per sweep, confirmed and unconfirmed."""
    figures: dict[str, float] = {"sweeps_judged": sweeps_judged}
    for name, wanted in (("confirmed", True), ("unconfirmed", False)):
        chosen = [verdict for verdict in verdicts if verdict.confirmed is wanted]
        figures[f"{name}_clusters"] = len(chosen)
        figures[f"{name}_points"] = sum(verdict.points for verdict in chosen)
        figures[f"{name}_per_sweep"] = len(chosen) / sweeps_judged
    return figures
