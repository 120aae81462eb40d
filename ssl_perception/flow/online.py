"""Scene flow sweep after sweep: raw sweep in, motion of every point over ground out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.deadline import Deadline
from ssl_perception.flow.deskew import deskew
from ssl_perception.flow.ego_motion import EgoMotion
from ssl_perception.flow.ground import GroundSegmenter
from ssl_perception.flow.segmentation import (
    LINK,
    LINK_PER_RANGE,
    VOXEL,
    clusters,
    moving_candidates,
    voxels,
)
from ssl_perception.flow.tracks import Detection, MovingObject, Tracker
from ssl_perception.types import BoolArray, FloatArray, PointCloud, SceneFlow

MIN_OBJECT_POINTS = 10


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
class _Sweep:
    """What the next sweep needs of this one."""

    obstacles: PointCloud
    stamp: float
    frame: str
    world_from_sensor: NDArray[np.float64] | None


@dataclass
class _Stopwatch:
    stages: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self.last
        self.last = now


class OnlineFlow:
    """Feed it raw sweeps in the order of time. One sweep is all it keeps, and the tracks."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._ego_motion = EgoMotion(self.config.ego_motion)
        self._ground = GroundSegmenter(self.config.ground)
        self._tracker = Tracker(self.config.tracks)
        self._previous: _Sweep | None = None

    def reset(self) -> None:
        """Forget all sweeps; the next one is a first one."""
        self._previous = None
        self._ego_motion.reset()
        self._ground.reset()
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
        clock = _Stopwatch()
        seconds = self.config.flow.deadline
        deadline = Deadline(seconds if seconds > 0.0 else None)
        reset = self._why_reset(sweep)
        if reset:
            self.reset()
        previous = self._previous
        interval = sweep.stamp - previous.stamp if previous else 0.0

        points = sweep.points
        if self.config.online.deskew and sweep.time is not None:
            twist = self._ego_motion.twist
            if twist is not None:
                points = deskew(points, sweep.time, twist)
                clock.lap("deskew")
        motion = self._motion(points, interval, world_from_sensor)
        if previous is not None and motion is None:
            reset = "ego motion not found"
            self._tracker.reset()
        clock.lap("ego motion")

        ground = self._ground.segment(points - sweep.origin if sweep.origin.any() else points)
        clock.lap("ground")

        reach = self.config.online.max_range
        inside = (np.abs(points[:, :2] - sweep.origin[:2]) <= reach).all(axis=1)
        chosen = np.flatnonzero(inside & ~ground)
        obstacles = PointCloud(
            points[chosen],
            None if sweep.time is None else sweep.time[chosen],
            sweep.stamp,
            sweep.frame,
            sweep.origin,
        )
        self._previous = _Sweep(obstacles, sweep.stamp, sweep.frame, world_from_sensor)

        flow = np.zeros((len(sweep), 3), np.float32)
        moving = np.zeros(len(sweep), np.bool_)
        confidence = np.zeros(len(sweep), np.float32)
        objects: list[MovingObject] = []
        converged, iterations = True, 0
        if previous is not None and motion is not None:
            solved = self._solve(obstacles, previous.obstacles.transformed(motion), deadline)
            clock.lap("solver")
            flow[chosen], moving[chosen] = solved.flow, solved.moving
            confidence[inside] = 1.0
            confidence[chosen] = solved.confidence
            converged, iterations = solved.converged, solved.iterations
            objects = self._tracker.update(
                _detections(obstacles, solved, -interval), motion, interval
            )
            clock.lap("tracks")
        scene_flow = SceneFlow(
            flow, moving, confidence, -interval, deadline.elapsed, iterations, converged
        )
        return SweepFlow(sweep, scene_flow, ground, motion, objects, clock.stages, reset)

    def _why_reset(self, sweep: PointCloud) -> str:
        previous = self._previous
        if previous is None:
            return "first sweep"
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
        previous = self._previous
        before = None if previous is None else previous.world_from_sensor
        if pose is not None and before is not None:
            motion = np.linalg.solve(pose, before)
            self._ego_motion.observe(motion, interval)
            return motion
        return self._ego_motion.register(points, interval)

    def _solve(self, source: PointCloud, target: PointCloud, deadline: Deadline) -> SceneFlow:
        interval = target.stamp - source.stamp
        flow = np.zeros_like(source.points)
        moving = np.zeros(len(source), np.bool_)
        confidence = np.ones(len(source), np.float32)
        of_source, of_target = moving_candidates(source, target)
        confidence[of_source] = 0.0
        if not of_source.any() or not of_target.any():
            return SceneFlow(flow, moving, confidence, interval)
        remaining = deadline.remaining
        if remaining <= 0.0:
            return SceneFlow(flow, moving, confidence, interval, converged=False)
        method = self.config.flow.method
        solved = estimate_flow(
            source.select(of_source),
            target.select(of_target),
            method,
            None if np.isinf(remaining) else remaining,
            options=getattr(self.config.flow, method),
        )
        flow[of_source], moving[of_source] = solved.flow, solved.moving
        confidence[of_source] = solved.confidence
        return SceneFlow(
            flow, moving, confidence, interval, solved.seconds, solved.iterations, solved.converged
        )


def _require_usable(sweep: PointCloud) -> None:
    if len(sweep) == 0:
        raise InputError("sweep has no points")
    if not np.isfinite(sweep.points).all():
        raise InputError("sweep has NaN or infinite points")
    if sweep.time is not None and not np.isfinite(sweep.time).all():
        raise InputError("sweep has NaN or infinite point times")


def _detections(cloud: PointCloud, flow: SceneFlow, interval: float) -> list[Detection]:
    """Clusters of moving points, each with its mean velocity."""
    points, velocity = cloud.points[flow.moving], flow.flow[flow.moving] / np.float32(interval)
    if len(points) == 0:
        return []
    centres, voxel_of_point = voxels(points, VOXEL)
    reach = np.linalg.norm(centres[:, :2] - cloud.origin[:2], axis=1)
    labels = clusters(centres, LINK + LINK_PER_RANGE * reach)[voxel_of_point]
    found = []
    for label in range(int(labels.max()) + 1):
        mine = labels == label
        if mine.sum() >= MIN_OBJECT_POINTS:
            found.append(Detection(points[mine], velocity[mine].mean(axis=0, dtype=np.float64)))
    return found
