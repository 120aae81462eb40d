"""Long-term correspondence: points carried from sweep to sweep by the flow, and the dense cloud.

Integrating the flow of pair after pair with forward Euler steps is NSFP's demonstration (Li et al.,
"Neural Scene Flow Prior", NeurIPS 2021, section 4.5): a point keeps its identity over many sweeps,
and sweeps lie on top of each other although cars and people have moved meanwhile. Static things
are carried by the ego motion alone, which is exact enough to be left out of the integration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.spatial import cKDTree

from ssl_perception.config import Accumulation as Settings
from ssl_perception.flow.online import SweepFlow
from ssl_perception.types import BoolArray, FloatArray, PointCloud

Carrier = Literal["flow", "ego motion", "nothing"]


@dataclass(frozen=True, eq=False)
class _Carried:
    """One sweep's points, where they would be by now.

    Attributes:
        stamp: s, when they were measured.
        points: (N, 3) float32 m, in the newest sweep's axes.
        velocity: (N, 3) float32 m/s over ground, in the same axes; 0 on what stands still.
        moving: (N,) bool.
        coasted: (N,) uint8 steps for which no flow was seen near them.
    """

    stamp: float
    points: FloatArray
    velocity: FloatArray
    moving: BoolArray
    coasted: NDArray[np.uint8]

    def select(self, kept: BoolArray) -> _Carried:
        return replace(
            self,
            points=self.points[kept],
            velocity=self.velocity[kept],
            moving=self.moving[kept],
            coasted=self.coasted[kept],
        )


class _Field:
    """The velocity over ground near what moves, sampled where the points were a sweep ago.

    Attributes:
        velocity: (M, 3) float32 m/s of the moving samples.
    """

    def __init__(self, result: SweepFlow, reach: float) -> None:
        points, flow = result.cloud.points, result.flow
        # a sweep's flow leads back to the sweep before: its samples lie at the foot of each arrow
        feet = points[flow.moving] + flow.flow[flow.moving]
        self.velocity = flow.velocity[flow.moving]
        self._reach = reach
        self._moving = cKDTree(feet) if len(feet) else None
        # a grid around the feet, so that most of what stands still is never searched for
        self._first = np.floor(feet.min(axis=0, initial=0.0) / reach).astype(np.int64) - 1
        cells = np.floor(feet / reach).astype(np.int64) - self._first
        self._shape = cells.max(axis=0, initial=0) + 2
        near = np.zeros(self._shape, np.bool_)
        near[tuple(cells.T)] = True
        self._near = binary_dilation(near, np.ones((3, 3, 3))) if len(feet) else near
        still = np.flatnonzero(~flow.moving & (flow.confidence > 0.0))
        still = still[self.covers(points[still])]
        self._still = cKDTree(points[still]) if len(still) else None

    def covers(self, points: FloatArray) -> BoolArray:
        """(N,) which points may have a moving sample within reach."""
        cell = np.floor(points * np.float32(1.0 / self._reach)).astype(np.int64) - self._first
        inside = ((cell >= 0) & (cell < self._shape)).all(axis=1)
        covered = np.zeros(len(points), np.bool_)
        covered[inside] = self._near[tuple(cell[inside].T)]
        return covered

    def nearest(self, points: FloatArray, moved: BoolArray) -> NDArray[np.intp]:
        """(N,) index of the sample that each point goes with; ``len(velocity)``: with none.

        Args:
            moved: (N,) those that moved before; others go with a sample only if no static one is
                nearer.
        """
        none = len(self.velocity)
        if self._moving is None:
            return np.full(len(points), none, np.intp)
        distance, index = self._moving.query(points, distance_upper_bound=self._reach, workers=2)
        doubtful = np.flatnonzero(~moved & (index < none))
        if self._still is not None and len(doubtful):
            to_still, _ = self._still.query(
                points[doubtful], distance_upper_bound=self._reach, workers=2
            )
            index[doubtful[to_still < distance[doubtful]]] = none
        return np.asarray(index, np.intp)


class Accumulator:
    """The last sweeps as one cloud in the newest one's axes, moving things in one place each.

    Feed it the online runtime's results in the order of time. It starts anew where they do.

    Args:
        settings: how many sweeps it holds, and how far flow reaches.
        by: what carries the points; less than the flow is there to see what the flow is good for.
    """

    def __init__(self, settings: Settings | None = None, by: Carrier = "flow") -> None:
        self.settings = settings or Settings()
        self._by = by
        self._held: list[_Carried] = []

    def reset(self) -> None:
        """Forget all sweeps."""
        self._held.clear()

    def add(self, result: SweepFlow) -> None:
        """Carry what is held on to the newest sweep, and add that sweep.

        A point takes the velocity of the nearest moving sample of the flow field within ``reach``,
        if that is nearer than the nearest static one or the point moved before. One that moved and
        has no such sample coasts with its last velocity for ``coast`` sweeps, and is dropped then:
        nobody knows where it is. Of a sweep whose flow isn't known (the first) only what later
        flow tells is known; of ground nothing is kept unless asked for.
        """
        motion = result.current_from_previous
        if result.reset or motion is None:
            self.reset()
        elif self._held:
            interval = -result.flow.interval
            field = _Field(result, self.settings.reach)
            self._held = [
                self._carried(sweep, motion, interval, field)
                for sweep in self._held[-(self.settings.sweeps - 1) :]
                if self.settings.sweeps > 1
            ]
        kept = np.ones(len(result.cloud), np.bool_) if self.settings.ground else ~result.ground
        moving = result.flow.moving[kept]
        velocity = np.zeros((len(moving), 3), np.float32)
        velocity[moving] = result.flow.velocity[kept][moving]
        self._held.append(
            _Carried(
                result.cloud.stamp,
                result.cloud.points[kept],
                velocity,
                moving,
                np.zeros(len(moving), np.uint8),
            )
        )
        self._newest = result.cloud

    def cloud(self) -> PointCloud:
        """All that is held: points (N, 3) m in the newest sweep's axes, at its stamp; ``time`` is
        when each was measured, s relative to that stamp (negative). Newest sweep last."""
        newest = self._newest
        time = [np.full(len(s.points), s.stamp - newest.stamp, np.float32) for s in self._held]
        points = np.concatenate([sweep.points for sweep in self._held])
        return PointCloud(points, np.concatenate(time), newest.stamp, newest.frame, newest.origin)

    def moving(self) -> BoolArray:
        """(N,) which points of ``cloud`` moved when last seen."""
        return np.concatenate([sweep.moving for sweep in self._held])

    def _carried(
        self, sweep: _Carried, motion: NDArray[np.float64], interval: float, field: _Field
    ) -> _Carried:
        if self._by == "nothing":
            return sweep
        turn = motion[:3, :3].astype(np.float32)
        points = sweep.points @ turn.T + motion[:3, 3].astype(np.float32)
        if self._by == "ego motion":
            return replace(sweep, points=points)
        velocity, moving = sweep.velocity @ turn.T, sweep.moving.copy()
        coasted = sweep.coasted.copy()
        rows = np.flatnonzero(sweep.moving | field.covers(points))
        index = field.nearest(points[rows], sweep.moving[rows])
        found = index < len(field.velocity)
        velocity[rows[found]] = field.velocity[index[found]]
        moving[rows[found]] = True
        coasted[rows[found]] = 0
        coasted[rows[~found & sweep.moving[rows]]] += 1
        points[moving] += velocity[moving] * np.float32(interval)
        carried = _Carried(sweep.stamp, points, velocity, moving, coasted)
        lost = coasted > self.settings.coast
        return carried.select(~lost) if lost.any() else carried
