"""Scene flow sweep after sweep: raw sweep in, motion of every point over ground out.

    sweep ─► ego motion ─► deskew ─► ground ─► solver ─► validation ─► slow movers ─► tracks
                           (in parallel: beams)   ▲                                      │
                                                  └────────── predicted motions ─────────┘

From the ground on all is done in level axes (``mounting``); the results are turned back.

Ego motion is registered on the sweeps as they come. Deskewing before, with the velocity of the
sweep before, would close a loop that doesn't converge: a velocity too small by some amount deforms
the sweep so that the next one is too large by as much. Two sweeps that are deformed alike
fit each other all the same.

A sweep that comes while another is at work must be dropped by the caller, never queued: the next
``process`` compares with the last sweep processed, whatever lies between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.flow.online.deskew import deskew
from ssl_perception.flow.online.detection import (
    ClusterDetection,
    Detections,
    clusters_of,
    detect,
    guesses_of,
)
from ssl_perception.flow.online.ego_motion import EgoMotion
from ssl_perception.flow.online.ground import GroundSegmenter
from ssl_perception.flow.online.ground_surface import GroundSurface
from ssl_perception.flow.online.motion_evidence import MotionEvidence
from ssl_perception.flow.online.mounting import MountingEstimate, Turn, turned_back
from ssl_perception.flow.online.odometry_check import OdometryCheck
from ssl_perception.flow.online.own_vehicle import (
    far_points,
    not_in_metres,
    own_points,
    renumbered,
    spread,
    with_own,
)
from ssl_perception.flow.online.slow_movers import SlowMovers
from ssl_perception.flow.online.sweep_flow import SweepFlow, UnfinishedFlow
from ssl_perception.flow.online.tracking import Detection, PredictedTrack, Tracker
from ssl_perception.flow.online.validation import Body, held, validate
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.runtime.stopwatch import Stopwatch
from ssl_perception.types import (
    BoolArray,
    FloatArray,
    MovingObject,
    PointCloud,
    transformed,
)

MIN_OBJECT_POINTS = 5


@dataclass(frozen=True, eq=False)
class _Previous:
    """The part of a sweep that the next one needs; its obstacles in level axes."""

    obstacles: PointCloud
    world_from_sensor: NDArray[np.float64] | None
    deskewed: bool
    level: Turn | None


class OnlineFlow:
    """Processes raw sweeps in the order of time; keeps the last one, beam images, tracks."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._ego_motion = EgoMotion(self.config.ego_motion)
        self._mounting = MountingEstimate(self.config.ground.sensor_height, self.config.lidar_mount)
        self._odometry_check = OdometryCheck(self.config.ego_motion)
        self._ground = GroundSegmenter(self.config.ground)
        self._evidence = MotionEvidence(self.config.evidence)
        self._tracker = Tracker(self.config.tracks)
        self._slow = SlowMovers()
        self._workspace = Workspace()
        self._previous: _Previous | None = None
        self._tail = 0.005  # s, running mean of the time that validation and tracks take

    def reset(self) -> None:
        """Forget all sweeps; the next one counts as the first."""
        self._mounting.reset()
        self._odometry_check.reset()
        self._start_anew()

    def _start_anew(self) -> None:
        """Forget all sweeps; the sensor is mounted as it was."""
        self._previous = None
        self._ego_motion.reset()
        self._odometry_check.start_anew()
        self._ground.reset()
        self._evidence.reset()
        self._tracker.reset()
        self._slow.reset()

    def process(
        self, sweep: PointCloud, world_from_sensor: NDArray[np.float64] | None = None
    ) -> SweepFlow:
        """The motion over ground of each point of a raw sweep.

        Args:
            sweep: in the sensor's axes.
            world_from_sensor: (4, 4) pose of ``sweep.frame`` at the stamp in a frame that drifts
                slowly; None: ego motion is registered from the sweeps.

        Raises:
            InputError: an empty cloud, or NaN or infinite points or times.
        """
        _require_usable(sweep)
        own = own_points(sweep, self.config.online.vehicle)
        far = far_points(sweep, self.config.online.max_coordinate)
        unit = "" if far is None else not_in_metres(sweep)
        if own is None and far is None:
            return self._process(sweep, world_from_sensor)
        left_out = np.zeros(len(sweep), np.bool_)
        for some in (own, far):
            if some is not None:
                left_out |= some
        kept = np.flatnonzero(~left_out)
        if len(kept) == 0:
            nothing = "sweep has no points outside online.vehicle and within online.max_coordinate"
            raise InputError(f"{nothing}: {unit}" if unit else nothing)
        result = self._process(sweep.select(kept), world_from_sensor)
        straight = result.deskewed
        return replace(
            result,
            cloud=sweep,
            flow=with_own(result.flow, kept, len(sweep)),
            ground=spread(result.ground, kept, np.zeros(len(sweep), np.bool_)),
            objects=renumbered(result.objects, kept),
            deskewed=None if straight is None else spread(straight, kept, sweep.points.copy()),
            own=own,
            doubt="; ".join(filter(None, (unit, result.doubt))),
        )

    def _process(
        self, sweep: PointCloud, world_from_sensor: NDArray[np.float64] | None
    ) -> SweepFlow:
        """``process`` for a sweep that has none of the robot's own points."""
        clock = Stopwatch()
        seconds = self.config.flow.deadline
        deadline = Deadline(seconds if seconds > 0.0 else None)
        reset = self._why_reset(sweep)
        if reset:
            self._start_anew()
        interval = sweep.stamp - self._previous.obstacles.stamp if self._previous else 0.0

        motion = self._motion(sweep.points, interval, world_from_sensor)
        self._compare_with_odometry(sweep.points, interval, world_from_sensor)
        clock.lap("ego motion")
        points, previous, deskewed = self._deskew(sweep, self._previous)
        rays = points - sweep.origin if sweep.origin.any() else points
        clock.lap("deskew")
        self._mounting.add(rays)
        level = self._mounting.level
        upright, before = points, None if previous is None else previous.level
        origin = sweep.origin
        if level is not None:
            turn = _rigid(level)
            upright, rays = transformed(points, turn), transformed(rays, turn)
            origin = (level @ origin).astype(np.float32)
        clock.lap("mounting")
        inside, ground = self._segment(rays, sweep.stamp)
        clock.lap("ground, beams")
        if previous is not None and motion is None:
            reset = self._ego_motion.implausible or "ego motion not found"
            self._evidence.reset()
            self._tracker.reset()
            self._slow.reset()
        chosen = np.flatnonzero(inside & ~ground)
        obstacles = _select(sweep, upright, origin, chosen)
        self._previous = _Previous(obstacles, world_from_sensor, deskewed, level)
        flow = UnfinishedFlow.unknown(len(sweep))
        clock.lap("select")
        objects: list[MovingObject] = []
        if previous is not None and motion is not None:
            flow.confidence[inside] = 1.0
            moved = motion
            if level is not None or before is not None:
                moved = _rigid(level) @ motion @ _rigid(before).T
            earlier = previous.obstacles.transformed(moved)
            limit = Deadline(max(deadline.remaining - self._tail, 1e-4))
            objects = self._find_movers(obstacles, earlier, moved, chosen, flow, limit, clock)
        self._slow.add(obstacles)
        if level is not None:
            flow.flow = transformed(flow.flow, _rigid(level.T))
            objects = [turned_back(seen, level) for seen in objects]
        return SweepFlow(
            sweep,
            flow.finished(-interval, deadline.elapsed),
            ground,
            motion,
            objects,
            clock.stages,
            reset,
            points if points is not sweep.points else None,
            level=level,
            mounting=self._mounting.found,
            doubt="; ".join(filter(None, (self._mounting.doubt, self._odometry_check.doubt))),
        )

    def _deskew(
        self, sweep: PointCloud, previous: _Previous | None
    ) -> tuple[FloatArray, _Previous | None, bool]:
        """Points of both sweeps at their stamps, as far as the sensor's velocity is known.

        Returns:
            (N, 3) points, the previous sweep, and whether the new sweep needs no more deskewing.
        """
        if sweep.time is None or not self.config.online.deskew:
            return sweep.points, previous, True
        twist = self._ego_motion.twist
        if twist is None:
            return sweep.points, previous, False
        if previous is not None and not previous.deskewed:
            previous = _deskewed(previous, twist)
            self._evidence.reset()  # its beams end at points that weren't deskewed
        return deskew(sweep.points, sweep.time, twist), previous, True

    def _segment(self, rays: FloatArray, stamp: float) -> tuple[BoolArray, BoolArray]:
        """Which points are in range, and which are ground: (N,) each. Adds the sweep's beams."""
        options = self.config.online
        inside = np.empty(len(rays), np.bool_)

        def find_ground() -> BoolArray:
            # a kernel first: it releases the GIL, so that the worker starts with the beams;
            # Patchwork++ never releases it
            _in_range(rays, options.min_range, options.max_range, inside)
            return self._ground.segment(rays, self._mounting.height)

        ground, _ = self._workspace.worker.run_in_parallel(
            find_ground, lambda: self._evidence.add(rays, stamp)
        )
        return inside, ground

    def _find_movers(
        self,
        obstacles: PointCloud,
        previous: PointCloud,
        motion: NDArray[np.float64],
        chosen: NDArray[np.intp],
        flow: UnfinishedFlow,
        limit: Deadline,
        clock: Stopwatch,
    ) -> list[MovingObject]:
        """Solve, validate and track.

        Args:
            obstacles, previous: of both sweeps, in the newest one's frame.
            motion: (4, 4) ego motion.
            chosen: which points of the sweep the obstacles are.
            flow: written.
            limit: of the solver.
        """
        interval = obstacles.stamp - previous.stamp
        self._evidence.move(motion)
        self._slow.move(motion)
        tracks = self._tracker.advance(motion, interval)
        found = detect(obstacles, previous, tracks, self.config.flow, limit, self._workspace)
        clock.lap("solver")
        surface = self._ground.surface
        assert surface is not None  # the sweep has been segmented
        bodies = validate(found.clusters, obstacles, surface, self._evidence, tracks)
        if found.label is not None:
            bodies += self._find_slow(obstacles, found.label, surface, bodies, tracks, limit)
        flow.write(found, bodies, chosen, interval)
        clock.lap("evidence")
        detections = [_detection(body, obstacles, chosen, found) for body in bodies]
        objects = self._tracker.update(
            [d for d in detections if len(d.points) >= MIN_OBJECT_POINTS]
        )
        clock.lap("tracks")
        self._tail += 0.2 * (clock.stages["evidence"] + clock.stages["tracks"] - self._tail)
        return objects

    def _find_slow(
        self,
        obstacles: PointCloud,
        label: NDArray[np.int32],
        surface: GroundSurface,
        bodies: list[Body],
        tracks: list[PredictedTrack],
        limit: Deadline,
    ) -> list[Body]:
        """Bodies that two sweeps don't show: slow ones, and tracked ones that the solver missed."""
        free = np.ones(len(obstacles), np.bool_)
        for part in (part for body in bodies for part in body):
            free[part.indices] = False
        solved = self._slow.solve(
            obstacles,
            np.where(free, label, -1),
            self._evidence,
            guesses_of(tracks),
            self.config.flow.rigid_cluster,
            limit,
        )
        slow: list[Body] = []
        if solved is not None:
            parts = clusters_of(obstacles, *solved)
            slow = validate(parts, obstacles, surface, self._evidence, tracks)
            for part in (part for body in slow for part in body):
                free[part.indices] = False
        return slow + held(tracks, bodies + slow, obstacles, free, surface, self._evidence)

    def _why_reset(self, sweep: PointCloud) -> str:
        if self._previous is None:
            return "first sweep"
        previous = self._previous.obstacles
        gap = sweep.stamp - previous.stamp
        if gap <= 0.0:
            return "clock went back" if gap < 0.0 else "same stamp twice"
        if gap > self.config.flow.max_gap:
            return f"gap {gap:.1f} s"
        if gap < self.config.online.min_interval:
            return f"{gap * 1e3:.3g} ms since the last sweep (online.min_interval)"
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
        return self._ego_motion.observe(np.linalg.inv(pose) @ before, interval)

    def _compare_with_odometry(
        self, points: FloatArray, interval: float, pose: NDArray[np.float64] | None
    ) -> None:
        """Where ego motion comes from odometry, see now and then whether the sweeps agree."""
        if pose is None:
            self._odometry_check.start_anew()
            return
        before = None if self._previous is None else self._previous.world_from_sensor
        observed = None if before is None else np.linalg.inv(pose) @ before
        self._odometry_check.add(points, interval, observed)


@kernel
def _in_range(rays: FloatArray, min_range: float, max_range: float, inside: BoolArray) -> None:
    """Mark the points within |x|, |y| <= max_range that aren't nearer than min_range: (N,)."""
    for p in range(len(rays)):
        x, y, z = rays[p, 0], rays[p, 1], rays[p, 2]
        near = x * x + y * y + z * z < min_range**2
        inside[p] = max(abs(x), abs(y)) <= max_range and not near


def _rigid(turn: Turn | None) -> NDArray[np.float64]:
    """(4, 4) a rotation as a rigid transform; None: no motion."""
    pose = np.eye(4)
    if turn is not None:
        pose[:3, :3] = turn
    return pose


def _select(
    sweep: PointCloud, points: FloatArray, origin: FloatArray, chosen: NDArray[np.intp]
) -> PointCloud:
    """Some points of the sweep, from its deskewed, level ``points`` (N, 3), and its ``origin``."""
    return PointCloud(
        points[chosen],
        None if sweep.time is None else sweep.time[chosen],
        sweep.stamp,
        sweep.frame,
        origin,
    )


def _deskewed(sweep: _Previous, twist: NDArray[np.float64]) -> _Previous:
    """A first sweep, brought to its stamp once the sensor's velocity is known."""
    cloud = sweep.obstacles
    assert cloud.time is not None
    if sweep.level is not None:
        twist = np.concatenate([sweep.level @ twist[:3], sweep.level @ twist[3:]])
    points = deskew(cloud.points, cloud.time, twist)
    straight = PointCloud(points, cloud.time, cloud.stamp, cloud.frame, cloud.origin)
    return _Previous(straight, sweep.world_from_sensor, True, sweep.level)


def _require_usable(sweep: PointCloud) -> None:
    if len(sweep) == 0:
        raise InputError("sweep has no points")
    if not np.isfinite(sweep.points).all():
        raise InputError("sweep has NaN or infinite points")
    if sweep.time is not None and not np.isfinite(sweep.time).all():
        raise InputError("sweep has NaN or infinite point times")


def _detection(
    body: list[ClusterDetection],
    obstacles: PointCloud,
    chosen: NDArray[np.intp],
    found: Detections,
) -> Detection:
    indices = np.concatenate([cluster.indices for cluster in body])
    velocity = np.concatenate([cluster.velocity for cluster in body])
    return Detection(
        obstacles.points[indices],
        velocity.mean(axis=0, dtype=np.float64),
        float(found.confidence[indices].mean()),
        chosen[indices],
    )
