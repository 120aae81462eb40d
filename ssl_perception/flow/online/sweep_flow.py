"""The result of one sweep, and its flow while it is put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.online.detection import ClusterDetection, Detections
from ssl_perception.flow.online.ego_motion import sensor_twist
from ssl_perception.flow.online.mounting import Mounting, Turn
from ssl_perception.types import (
    BoolArray,
    FloatArray,
    MovingObject,
    ObstacleScan,
    PointCloud,
    SceneFlow,
)

# confidence in "static" where a detection wasn't validated; the least confidence of a mover
UNVALIDATED = 0.25


@dataclass(frozen=True, eq=False)
class SweepFlow:
    """The result of one sweep, compared with the sweep before it.

    Attributes:
        cloud: the sweep as given.
        flow: one row per point of ``cloud``, which is its source; the target is the sweep before,
            so that ``interval`` is negative and ``flow.velocity`` is forward in time. Ground is
            static; points out of range, the robot's own, and all of a first sweep, are unknown.
        ground: (N,) bool.
        current_from_previous: (4, 4) ego motion: maps the previous sweep's coordinates to this
            one's; None where it isn't known.
        objects: tracked moving objects.
        stages: seconds spent per stage.
        reset: empty, or why the sweep could not be compared with the one before.
        deskewed: (N, 3) float32, the points of ``cloud`` as a sensor that stood still at the stamp
            would have seen them, as far as its velocity is known; None: as they came.
        lidar_scan: obstacle distance per sector; None where it wasn't asked for.
        own: (N,) bool, the robot's own points (``online.vehicle``); None: there are none.
        level: (3, 3) turns the cloud's axes to level ones, x staying ahead; None: they are level.
        mounting: of the lidar, as the ground shows it; None: no ground seen yet.
        doubt: empty, or which setting of the mounting seems wrong, the unit of the points, or how
            odometry disagrees with the sweeps: one line, the same each sweep.
    """

    cloud: PointCloud
    flow: SceneFlow
    ground: BoolArray
    current_from_previous: NDArray[np.float64] | None
    objects: list[MovingObject]
    stages: dict[str, float]
    reset: str = ""
    deskewed: FloatArray | None = None
    lidar_scan: ObstacleScan | None = None
    own: BoolArray | None = None
    level: Turn | None = None
    mounting: Mounting | None = None
    doubt: str = ""

    @property
    def others(self) -> PointCloud:
        """The sweep as given, without the robot's own points."""
        return self.cloud if self.own is None else self.cloud.select(~self.own)

    @property
    def twist(self) -> NDArray[np.float64] | None:
        """(6,) velocity of the sensor in its own axes: m/s, then rad/s; None while unknown."""
        if self.current_from_previous is None:
            return None
        return sensor_twist(self.current_from_previous, -self.flow.interval)


@dataclass(eq=False)
class UnfinishedFlow:
    """The flow of a sweep while it is put together: (N, 3) flow, (N,) moving, (N,) confidence."""

    flow: FloatArray
    moving: BoolArray
    confidence: FloatArray
    iterations: int = 0
    converged: bool = True

    @classmethod
    def unknown(cls, count: int) -> UnfinishedFlow:
        return cls(
            np.zeros((count, 3), np.float32),
            np.zeros(count, np.bool_),
            np.zeros(count, np.float32),
        )

    def write(
        self,
        found: Detections,
        bodies: list[list[ClusterDetection]],
        chosen: NDArray[np.intp],
        interval: float,
    ) -> None:
        """Fill in the obstacles ``chosen``: the solver's confidence, and the bodies' motion."""
        self.iterations, self.converged = found.iterations, found.converged
        self.confidence[chosen] = found.confidence
        for cluster in found.clusters:
            self.confidence[chosen[cluster.indices]] = UNVALIDATED
        for body in bodies:
            for cluster in body:
                at = chosen[cluster.indices]
                self.flow[at] = cluster.velocity * np.float32(-interval)
                self.moving[at] = True
                self.confidence[at] = np.maximum(found.confidence[cluster.indices], UNVALIDATED)

    def finished(self, interval: float, seconds: float) -> SceneFlow:
        return SceneFlow(
            self.flow,
            self.moving,
            self.confidence,
            interval,
            seconds,
            self.iterations,
            self.converged,
        )
