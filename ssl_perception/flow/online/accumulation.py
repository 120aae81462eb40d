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

from ssl_perception.config import AccumulationConfig
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import (
    BoolArray,
    FloatArray,
    PointCloud,
    transformed,
)

Carrier = Literal["flow", "ego motion", "nothing"]
CELL = 0.2  # m: points in one such cube move alike


@dataclass(frozen=True, eq=False)
class _Carried:
    """One sweep's points, where they would be by now, in the newest sweep's axes.

    Attributes:
        stamp: s, when they were measured.
        still: (S, 3) float32 m, what isn't known to move.
        moving: (M, 3) float32 m.
        velocity: (M, 3) float32 m/s over ground, of what moves.
        coasted: (M,) uint8 steps for which no flow was seen near them.
    """

    stamp: float
    still: FloatArray
    moving: FloatArray
    velocity: FloatArray
    coasted: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.still) + len(self.moving)


class _Field:
    """Velocities over ground around moving points, sampled at their positions one sweep earlier.

    Attributes:
        velocity: (M, 3) float32 m/s of the moving samples, one a cube.
    """

    def __init__(self, result: SweepFlow, reach: float) -> None:
        points, flow = result.cloud.points, result.flow
        # a sweep's flow leads back to the sweep before: its samples lie at the foot of each arrow
        feet = points[flow.moving] + flow.flow[flow.moving]
        self._reach = reach
        # a grid around the feet, so that most static points are never searched for
        self._first = np.floor(feet.min(axis=0, initial=0.0) / reach).astype(np.int32) - 1
        cells = np.floor(feet / reach).astype(np.int32) - self._first
        self._near = np.zeros(cells.max(axis=0, initial=0) + 2, np.bool_)
        self._moving = self._still = None
        self.velocity = np.zeros((0, 3), np.float32)
        if not len(feet):
            return
        self._near[tuple(cells.T)] = True
        self._near = binary_dilation(self._near, np.ones((3, 3, 3)))
        cube, middle = _cubes(feet)
        self.velocity = _means(flow.velocity[flow.moving], cube).astype(np.float32)
        self._moving = cKDTree(middle)
        still = self.near(points)
        still = still[~flow.moving[still] & (flow.confidence[still] > 0.0)]
        if len(still):
            self._still = cKDTree(_cubes(points[still])[1])

    def near(self, points: FloatArray) -> NDArray[np.intp]:
        """(K,) which points may have a moving sample within reach."""
        return np.asarray(_marked(points, self._first, 1.0 / self._reach, self._near))

    def nearest(self, points: FloatArray, compare: bool) -> NDArray[np.intp]:
        """(N,) the sample that each point goes with; ``len(velocity)``: with none.

        Args:
            compare: with none, too, where a static sample is nearer.
        """
        none = len(self.velocity)
        if self._moving is None or not len(points):
            return np.full(len(points), none, np.intp)
        cube, middle = _cubes(points)
        distance, index = self._moving.query(middle, distance_upper_bound=self._reach)
        found = np.flatnonzero(index < none)
        if compare and self._still is not None and len(found):
            to_still, _ = self._still.query(middle[found], distance_upper_bound=self._reach)
            index[found[to_still < distance[found]]] = none
        return np.asarray(index[cube], np.intp)


class Accumulator:
    """The last sweeps as one cloud in the newest one's axes, moving things in one place each.

    Feed it the online runtime's results in the order of time. It is reset where they are.

    Args:
        settings: how many sweeps it holds, and how far flow reaches.
        by: what carries the points; less than the flow is there to see what the flow is good for.
    """

    def __init__(self, settings: AccumulationConfig | None = None, by: Carrier = "flow") -> None:
        self.settings = settings or AccumulationConfig()
        self._by = by
        self._held: list[_Carried] = []
        self._newest: PointCloud | None = None

    def reset(self) -> None:
        """Forget all sweeps."""
        self._held.clear()

    def add(self, result: SweepFlow) -> None:
        """Carry what is held on to the newest sweep, and add that sweep.

        A point takes the velocity of the nearest moving sample of the flow field within ``reach``,
        if that is nearer than the nearest static one or the point moved before. One that moved and
        has no such sample coasts with its last velocity for ``coast`` sweeps, and is dropped then:
        its place is unknown. Of a sweep whose flow isn't known (the first) only what later
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
        if result.own is not None:
            kept &= ~result.own
        moving = kept & result.flow.moving
        points = result.cloud.points
        self._held.append(
            _Carried(
                result.cloud.stamp,
                points[kept & ~moving],
                points[moving],
                result.flow.velocity[moving],
                np.zeros(int(moving.sum()), np.uint8),
            )
        )
        self._newest = result.cloud

    def cloud(self) -> PointCloud:
        """All that is held: points (N, 3) m in the newest sweep's axes, at its stamp; ``time`` is
        when each was measured, s relative to that stamp (negative). Newest sweep last."""
        assert self._newest is not None, "no sweep was added yet"
        newest = self._newest
        time = [np.full(len(sweep), sweep.stamp - newest.stamp, np.float32) for sweep in self._held]
        points = np.concatenate(
            [part for sweep in self._held for part in (sweep.still, sweep.moving)]
        )
        return PointCloud(points, np.concatenate(time), newest.stamp, newest.frame, newest.origin)

    def moving(self) -> BoolArray:
        """(N,) which points of ``cloud`` moved when last seen."""
        sizes = [len(part) for sweep in self._held for part in (sweep.still, sweep.moving)]
        return np.repeat(np.tile([False, True], len(self._held)), sizes)

    def _carried(
        self, sweep: _Carried, motion: NDArray[np.float64], interval: float, field: _Field
    ) -> _Carried:
        if self._by == "nothing":
            return sweep
        still, moving = transformed(sweep.still, motion), transformed(sweep.moving, motion)
        velocity = transformed(sweep.velocity, motion, direction=True)
        if self._by == "ego motion":
            return replace(sweep, still=still, moving=moving, velocity=velocity)
        sample = field.nearest(moving, compare=False)
        found = sample < len(field.velocity)
        velocity[found] = field.velocity[sample[found]]
        coasted = np.where(found, np.uint8(0), sweep.coasted + np.uint8(1))
        known = coasted <= self.settings.coast
        # what stood still, or wasn't known to move, and lies where something moves now
        rows = field.near(still)
        sample = field.nearest(still[rows], compare=True)
        found = sample < len(field.velocity)
        moving = np.concatenate([moving[known], still[rows[found]]])
        velocity = np.concatenate([velocity[known], field.velocity[sample[found]]])
        return _Carried(
            sweep.stamp,
            np.delete(still, rows[found], axis=0) if found.any() else still,
            moving + velocity * np.float32(interval),
            velocity,
            np.concatenate([coasted[known], np.zeros(int(found.sum()), np.uint8)]),
        )


def _cubes(points: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The cube of each point, (N,), and the middle of each cube's points, (C, 3) m."""
    cell = np.floor(points * np.float32(1.0 / CELL)).astype(np.int64)
    cell -= cell.min(axis=0)
    _, rows, columns = cell.max(axis=0) + 1
    key = (cell[:, 0] * rows + cell[:, 1]) * columns + cell[:, 2]
    cube = np.unique(key, return_inverse=True)[1]
    return cube, _means(points, cube)


def _means(values: FloatArray, group: NDArray[np.intp]) -> NDArray[np.float64]:
    """(G, 3) mean of each group's rows."""
    sums = [np.bincount(group, values[:, axis]) for axis in range(3)]
    return np.stack(sums, axis=1) / np.bincount(group)[:, None]


@kernel
def _marked(
    points: FloatArray, first: NDArray[np.int32], inverse: float, marked: BoolArray
) -> NDArray[np.intp]:
    """(K,) which points lie in a marked cell."""
    found = np.empty(len(points), np.intp)
    count = 0
    for n in range(len(points)):
        i = int(np.floor(points[n, 0] * inverse)) - first[0]
        j = int(np.floor(points[n, 1] * inverse)) - first[1]
        k = int(np.floor(points[n, 2] * inverse)) - first[2]
        inside = 0 <= i < marked.shape[0] and 0 <= j < marked.shape[1] and 0 <= k < marked.shape[2]
        if inside and marked[i, j, k]:
            found[count] = n
            count += 1
    return found[:count]
