"""Scene flow sweep after sweep: raw sweep in, motion of every point over ground out.

    sweep ─► ego motion ─► deskew ─► ground ─► solver ─► evidence ─► tracks
                           (beams, meanwhile)     ▲                     │
                                                  └── expected motions ─┘

Ego motion is registered on the sweeps as they come. Deskewing before, with the velocity of the
sweep before, would close a loop that doesn't settle: a velocity too small by some amount deforms
the sweep so that the next one comes out too large by as much. Two sweeps that are deformed alike
fit each other all the same.

A sweep that comes while another is at work must be dropped by the caller, never queued: the next
``process`` compares with the last sweep processed, whatever lies between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.flow.online.deskew import deskew
from ssl_perception.flow.online.detection import (
    Claim,
    Claims,
    believe,
    find_claims,
)
from ssl_perception.flow.online.ego_motion import EgoMotion
from ssl_perception.flow.online.ground import GroundSegmenter
from ssl_perception.flow.online.motion_evidence import Evidence
from ssl_perception.flow.online.tracking import Detection, Tracker
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.runtime.stopwatch import Stopwatch
from ssl_perception.types import (
    BoolArray,
    FloatArray,
    MovingObject,
    PointCloud,
    SceneFlow,
)

DOUBTED = (
    0.25  # confidence in "static" where a motion was claimed but not believed; least in a mover
)
MIN_OBJECT_POINTS = 5


@dataclass(frozen=True, eq=False)
class SweepFlow:
    """What one sweep tells, seen against the sweep before it.

    Attributes:
        cloud: the sweep as given.
        flow: one row per point of ``cloud``, which is its source; the target is the sweep before,
            so that ``interval`` is negative and ``flow.velocity`` points where things go. Ground
            is static; points out of range, and all of a first sweep, are unknown.
        ground: (N,) bool.
        current_from_previous: (4, 4) ego motion: maps the previous sweep's coordinates to this
            one's; None where it isn't known.
        objects: what moves.
        stages: seconds spent per stage.
        reset: empty, or why the sweep could not be compared with the one before.
    """

    cloud: PointCloud
    flow: SceneFlow
    ground: BoolArray
    current_from_previous: NDArray[np.float64] | None
    objects: list[MovingObject]
    stages: dict[str, float]
    reset: str = ""


@dataclass(frozen=True, eq=False)
class _Previous:
    """What the next sweep needs of this one."""

    obstacles: PointCloud
    world_from_sensor: NDArray[np.float64] | None
    deskewed: bool


class OnlineFlow:
    """Feed it raw sweeps in the order of time. It keeps the last one, some beam images, tracks."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._ego_motion = EgoMotion(self.config.ego_motion)
        self._ground = GroundSegmenter(self.config.ground)
        self._evidence = Evidence(self.config.evidence)
        self._tracker = Tracker(self.config.tracks)
        self._workspace = Workspace()
        self._previous: _Previous | None = None
        self._tail = 0.005  # s that what follows the solver took lately

    def reset(self) -> None:
        """Forget all sweeps; the next one is a first one."""
        self._previous = None
        self._ego_motion.reset()
        self._ground.reset()
        self._evidence.reset()
        self._tracker.reset()

    def process(
        self, sweep: PointCloud, world_from_sensor: NDArray[np.float64] | None = None
    ) -> SweepFlow:
        """The motion over ground of each point of a raw sweep.

        Args:
            sweep: in the sensor's axes, z up.
            world_from_sensor: (4, 4) pose of ``sweep.frame`` at the stamp in a frame that drifts
                slowly; None: ego motion is registered from the sweeps.

        Raises:
            InputError: an empty cloud, or NaN or infinite points or times.
        """
        _require_usable(sweep)
        clock = Stopwatch()
        seconds = self.config.flow.deadline
        deadline = Deadline(seconds if seconds > 0.0 else None)
        reset = self._why_reset(sweep)
        if reset:
            self.reset()
        previous = self._previous
        interval = sweep.stamp - previous.obstacles.stamp if previous else 0.0

        motion = self._motion(sweep.points, interval, world_from_sensor)
        clock.lap("ego motion")
        twist = self._ego_motion.twist if self.config.online.deskew else None
        points = sweep.points
        if sweep.time is not None and twist is not None:
            points = deskew(points, sweep.time, twist)
            if previous is not None and not previous.deskewed:
                previous = _deskewed(previous, twist)
                self._evidence.reset()  # its beams ended where nothing was
        rays = points - sweep.origin if sweep.origin.any() else points
        clock.lap("deskew")

        options = self.config.online
        inside = np.empty(len(sweep), np.bool_)

        def find_ground() -> BoolArray:
            # a kernel first: in it we let go of the GIL, and the beams get theirs started;
            # Patchwork++ never lets go
            _in_range(rays, options.min_range, options.max_range, inside)
            return self._ground.segment(rays)

        ground, _ = self._workspace.second.both(
            find_ground, lambda: self._evidence.add(rays, sweep.stamp)
        )
        clock.lap("ground, beams")
        if previous is not None and motion is None:
            reset = "ego motion not found"
            self._evidence.reset()
            self._tracker.reset()

        chosen = np.flatnonzero(inside & ~ground)
        obstacles = PointCloud(
            points[chosen],
            None if sweep.time is None else sweep.time[chosen],
            sweep.stamp,
            sweep.frame,
            sweep.origin,
        )
        deskewed = sweep.time is None or twist is not None or not self.config.online.deskew
        self._previous = _Previous(obstacles, world_from_sensor, deskewed)

        flow = np.zeros((len(sweep), 3), np.float32)
        moving = np.zeros(len(sweep), np.bool_)
        confidence = np.zeros(len(sweep), np.float32)
        objects: list[MovingObject] = []
        converged, iterations = True, 0
        clock.lap("select")
        if previous is not None and motion is not None:
            self._evidence.moved(motion)
            expected = self._tracker.advance(motion, interval)
            found = find_claims(
                obstacles,
                previous.obstacles.transformed(motion),
                expected,
                self.config.flow,
                Deadline(max(deadline.remaining - self._tail, 1e-4)),
                self._workspace,
            )
            clock.lap("solver")
            bodies = believe(found.claims, obstacles, self._evidence, expected)
            confidence[inside] = 1.0
            confidence[chosen] = found.confidence
            for claim in found.claims:
                confidence[chosen[claim.indices]] = DOUBTED
            for body in bodies:
                for claim in body:
                    at = chosen[claim.indices]
                    flow[at] = claim.velocity * np.float32(-interval)
                    moving[at] = True
                    confidence[at] = np.maximum(found.confidence[claim.indices], DOUBTED)
            clock.lap("evidence")
            detections = [_detection(body, obstacles, chosen, found) for body in bodies]
            objects = self._tracker.update(
                [d for d in detections if len(d.points) >= MIN_OBJECT_POINTS]
            )
            converged, iterations = found.converged, found.iterations
            clock.lap("tracks")
            self._tail += 0.2 * (clock.stages["evidence"] + clock.stages["tracks"] - self._tail)
        scene_flow = SceneFlow(
            flow, moving, confidence, -interval, deadline.elapsed, iterations, converged
        )
        return SweepFlow(sweep, scene_flow, ground, motion, objects, clock.stages, reset)

    def _why_reset(self, sweep: PointCloud) -> str:
        if self._previous is None:
            return "first sweep"
        previous = self._previous.obstacles
        gap = sweep.stamp - previous.stamp
        if gap <= 0.0:
            return "clock went back" if gap < 0.0 else "same stamp twice"
        if gap > self.config.flow.max_gap:
            return f"gap {gap:.1f} s"
        if sweep.frame != previous.frame:
            return f"frame changed to {sweep.frame!r}"
        return ""

    def _motion(
        self, points: FloatArray, interval: float, pose: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        before = None if self._previous is None else self._previous.world_from_sensor
        if pose is None or (before is None and self._previous is not None):
            return self._ego_motion.register(points, interval)
        if before is None:
            return None
        motion: NDArray[np.float64] = np.linalg.inv(pose) @ before
        self._ego_motion.observe(motion, interval)
        return motion


@kernel
def _in_range(rays: FloatArray, min_range: float, max_range: float, inside: BoolArray) -> None:
    """Mark the points within |x|, |y| <= max_range that aren't nearer than min_range: (N,)."""
    for p in range(len(rays)):
        x, y, z = rays[p, 0], rays[p, 1], rays[p, 2]
        near = x * x + y * y + z * z < min_range**2
        inside[p] = max(abs(x), abs(y)) <= max_range and not near


def _deskewed(sweep: _Previous, twist: NDArray[np.float64]) -> _Previous:
    """A first sweep, brought to its stamp once the sensor's velocity is known."""
    cloud = sweep.obstacles
    assert cloud.time is not None
    points = deskew(cloud.points, cloud.time, twist)
    straight = PointCloud(points, cloud.time, cloud.stamp, cloud.frame, cloud.origin)
    return _Previous(straight, sweep.world_from_sensor, True)


def _require_usable(sweep: PointCloud) -> None:
    if len(sweep) == 0:
        raise InputError("sweep has no points")
    if not np.isfinite(sweep.points).all():
        raise InputError("sweep has NaN or infinite points")
    if sweep.time is not None and not np.isfinite(sweep.time).all():
        raise InputError("sweep has NaN or infinite point times")


def _detection(
    body: list[Claim], obstacles: PointCloud, chosen: NDArray[np.intp], found: Claims
) -> Detection:
    indices = np.concatenate([claim.indices for claim in body])
    velocity = np.concatenate([claim.velocity for claim in body])
    return Detection(
        obstacles.points[indices],
        velocity.mean(axis=0, dtype=np.float64),
        float(found.confidence[indices].mean()),
        chosen[indices],
    )
