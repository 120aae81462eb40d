"""The student scored on held-out poses: random poses in a room, with the true depth there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ssl_perception.config import TrustConfig
from ssl_perception.depth.student.protocol import Student
from ssl_perception.evaluation.obstacle_metrics import auc, rates
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.types import DepthMap, StereoPair
from ssl_perception_sim.experiments.students import DRONE
from ssl_perception_sim.sensors.camera import Frame
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.motion import Still, rotation
from ssl_perception_sim.world.randomness import stream


@dataclass(frozen=True)
class HeldOutScore:
    """The student on held-out poses, after so many minutes.

    Attributes:
        auc: area under the ROC curve. fpr_at_95: FPR of the threshold that has a TPR of 0.95 there.
        tpr, fpr: of the threshold calibrated in flight; of ``trigger`` before there is one.
        trusted: by then.
        unknown: share of the poses without a prediction ahead; they are left out of the rest.
    """

    minute: float
    auc: float
    fpr_at_95: float
    tpr: float
    fpr: float
    trusted: bool
    unknown: float = 0.0


class HeldOut:
    """Random poses in a room, with the true distance of the nearest obstacle at each.

    Args:
        seed: of the room, and of the poses.
        poses: how many.
        options: what counts as an obstacle ahead.
    """

    def __init__(self, seed: int, poses: int, options: TrustConfig) -> None:
        self._options = options
        room = rooms.plan(seed)
        _, taken = rooms.build(seed, room)
        rng = stream(seed, "held out")
        camera = worlds.room(seed).camera
        assert camera is not None
        self._pairs: list[StereoPair] = []
        nearest = []
        for k in range(poses):
            place, yaw = worlds.free_pose(
                rng, room, taken, clearance=float(rng.uniform(0.15, 0.45))
            )
            pose = Still(rotation(0, 0, yaw)[0], place)
            frame = camera.capture(pose, 0.0, 100_000 + k, with_right=False)
            nearest.append(true_nearest(frame, options.ahead))
            self._pairs.append(replace(frame.pair, right=frame.pair.left))
        self._nearest = np.array(nearest)

    def score(
        self, pipeline: DepthPipeline, minute: float, student: Student | None = None
    ) -> HeldOutScore:
        """The pipeline's student now, or this one, and the threshold that the pipeline has."""
        student, trust = student or pipeline.student, pipeline.fusion.trust
        assert student is not None
        ahead, scan = self._options.ahead, pipeline.config.scan
        predicted = np.array(
            [
                nearest_ahead(
                    obstacle_scan(student.depth(p.left, p.camera, p.stamp), scan),
                    ahead,
                    self._options.trigger,
                )
                for p in self._pairs
            ]
        )
        known = ~(np.isnan(predicted) | np.isnan(self._nearest))
        unknown = float(np.isnan(predicted).mean())
        predicted, near = predicted[known], self._nearest[known] < self._options.trigger
        threshold = trust.threshold if trust.threshold > 0 else self._options.trigger
        at_95 = math.nan
        if near.any():
            at_95 = float(np.quantile(predicted[near], 0.95, method="higher"))
        marks = rates(predicted < threshold, near)
        return HeldOutScore(
            minute,
            auc(predicted, near),
            rates(predicted <= at_95, near).fpr,
            marks.tpr,
            marks.fpr,
            trust.trusted,
            unknown,
        )


def true_nearest(frame: Frame, ahead: float) -> float:
    """The true distance of the nearest obstacle within ``ahead`` rad of straight ahead, m."""
    return nearest_ahead(obstacle_scan(DepthMap(frame.depth, frame.pair.camera), DRONE.scan), ahead)
