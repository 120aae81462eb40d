"""Moving objects found, against labelled boxes; and claims that no label explains.

The truth is jittery: boxes are drawn by hand, sweep by sweep. So an object's true velocity and yaw
rate are the Theil-Sen slopes (medians of the slopes of all pairs) of its box's centre and heading
over seven sweeps, over ground by the ego motion; each of its points moves with the box as a rigid
body. An object is *found* when more than half of its points are said to move.
Its points are those in its box, at least 0.2 m above the box's bottom, which is the ground.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ssl_perception.datasets.kitti_tracking import PEOPLE, VEHICLES, LabelledBox
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.flow.segmentation import moving_clusters
from ssl_perception.types import BoolArray, FloatArray

WINDOW = 3  # sweeps before and after, for the true velocity
MIN_POINTS = 10  # of an object that counts
MIN_CLAIM = 5  # points
ABOVE_BOTTOM = 0.2  # m
MOVING = 1.0  # m/s, vehicles and cyclists
WALKING = 0.5  # m/s, people
PARKED = 0.3  # m/s
ABSURD = 15.0  # m/s
LABEL_MARGIN = 0.5  # m around a box within which a claim is of its object
ARC_HEIGHT = 0.1  # m above the ground beside it: a claim so low is ground that "moves"
ARC_LENGTH = 1.0  # m; feet and wheels are shorter
RANGES = (20.0, 40.0)  # m, limits of near, middle, far


@dataclass(frozen=True)
class ObjectResult:
    """A labelled object in one sweep.

    Attributes:
        frame, track, category: which.
        distance: of its centre from the sensor, m.
        points: its points.
        speed: true, m/s over ground.
        share: of its points that are said to move.
        error: of the mean velocity of those, m/s in the plane; None if there are none.
        epe: mean over all its points of the error of their velocity, m/s in the plane.
    """

    frame: int
    track: int
    category: str
    distance: float
    points: int
    speed: float
    share: float
    error: float | None
    epe: float

    @property
    def found(self) -> bool:
        return self.share > 0.5

    @property
    def moves(self) -> bool:
        return self.speed > (WALKING if self.category in PEOPLE else MOVING)

    @property
    def parked(self) -> bool:
        return self.category in VEHICLES and self.speed < PARKED


@dataclass(frozen=True)
class Claim:
    """A connected set of points that are said to move and that no label explains.

    Attributes:
        frame: sweep.
        points: how many.
        centre: (3,) m, in the sweep's frame.
        speed: of their mean velocity, m/s.
        ground_arc: it is ground: a patch at the height of the ground beside it.
        absurd: faster than 15 m/s.
    """

    frame: int
    points: int
    centre: tuple[float, float, float]
    speed: float
    ground_arc: bool
    absurd: bool


@dataclass(frozen=True, eq=False)
class _Seen:
    """An object's points in one sweep: (n, 2) offsets from its centre and velocities in the plane,
    and which are said to move."""

    frame: int
    box: LabelledBox
    offset: FloatArray
    velocity: FloatArray
    moving: BoolArray


class ObjectScores:
    """Takes the results of one drive, sweep by sweep, and scores them.

    Attributes:
        claims: that no label explains, so far.
    """

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self._results: list[ObjectResult] = []
        self._world_from_sweep: NDArray[np.float64] = np.eye(4)
        self._restart()

    def add(self, frame: int, result: SweepFlow, boxes: Sequence[LabelledBox]) -> None:
        """Take the result of the next sweep and its labels.

        A sweep that wasn't compared with the one before gives nothing to score, and true
        velocities don't reach across it.
        """
        motion = result.current_from_previous
        if motion is None:
            self._finish()
            self._restart()
        else:
            self._world_from_sweep = self._world_from_sweep @ np.linalg.inv(motion)
        self._poses[frame] = (result.cloud.stamp, self._world_from_sweep)
        for box in boxes:
            self._poses_of[box.track, frame] = self._in_world(box)
        if motion is None:
            return
        points, moving = result.cloud.points, result.flow.moving
        for box in boxes:
            mine = box.contains(points) & (points[:, 2] > box.floor + ABOVE_BOTTOM)
            if mine.sum() >= MIN_POINTS:
                offset = (points[mine] - box.centre)[:, :2].astype(np.float32)
                velocity = result.flow.velocity[mine, :2]
                self._seen.append(_Seen(frame, box, offset, velocity, moving[mine]))
        self.claims += claims_outside(frame, result, boxes)

    def results(self) -> list[ObjectResult]:
        """Of all labelled objects with enough points, sweep by sweep."""
        self._finish()
        return self._results

    def _restart(self) -> None:
        self._world_from_sweep = np.eye(4, dtype=np.float64)
        self._poses: dict[int, tuple[float, NDArray[np.float64]]] = {}
        self._poses_of: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._seen: list[_Seen] = []

    def _finish(self) -> None:
        for seen in self._seen:
            true = self._true_velocity(seen.box.track, seen.frame)
            if true is not None:
                self._results.append(_score(seen, true))
        self._seen.clear()

    def _in_world(self, box: LabelledBox) -> NDArray[np.float64]:
        """(4,) x, y, z, m, and heading, rad."""
        turn = np.arctan2(self._world_from_sweep[1, 0], self._world_from_sweep[0, 0])
        centre = self._world_from_sweep @ [*box.centre, 1.0]
        return np.array([*centre[:3], box.yaw + turn])

    def _true_velocity(self, track: int, frame: int) -> NDArray[np.float64] | None:
        """(3,) vx, vy in the sweep's axes, m/s, and yaw rate, rad/s, see the module; None with
        fewer than three boxes."""
        window = [
            f for f in range(frame - WINDOW, frame + WINDOW + 1) if (track, f) in self._poses_of
        ]
        if len(window) < 3:
            return None
        slopes = []
        for a, b in combinations(window, 2):
            change = self._poses_of[track, b] - self._poses_of[track, a]
            # a box may be turned round from one sweep to the next: modulo half a turn
            change[3] = (change[3] + np.pi / 2) % np.pi - np.pi / 2
            slopes.append(change / (self._poses[b][0] - self._poses[a][0]))
        slope = np.median(slopes, axis=0)
        sweep_from_world = np.linalg.inv(self._poses[frame][1])
        velocity = sweep_from_world[:3, :3] @ slope[:3]
        return np.array([velocity[0], velocity[1], slope[3]])


def _score(seen: _Seen, true: NDArray[np.float64]) -> ObjectResult:
    across = np.stack([-seen.offset[:, 1], seen.offset[:, 0]], axis=1)
    apart = seen.velocity - (true[:2] + true[2] * across)
    error = None
    if seen.moving.any():
        error = float(np.linalg.norm(apart[seen.moving].mean(axis=0)))
    box = seen.box
    return ObjectResult(
        seen.frame,
        box.track,
        box.category,
        float(np.hypot(*box.centre[:2])),
        len(seen.moving),
        float(np.hypot(true[0], true[1])),
        float(seen.moving.mean()),
        error,
        float(np.linalg.norm(apart, axis=1).mean()),
    )


def claims_outside(frame: int, result: SweepFlow, boxes: Sequence[LabelledBox]) -> list[Claim]:
    """The connected sets of moving points that lie outside all labelled boxes.

    Ground that moves beside a true mover may be connected with it: so what lies at the height of
    the ground is a set of its own.
    """
    points, moving = result.cloud.points, result.flow.moving.copy()
    for box in boxes:
        moving &= ~box.contains(points, LABEL_MARGIN)
    if not moving.any():
        return []
    low = np.zeros(len(points), np.bool_)
    low[moving] = _height_above_ground(result, moving) < ARC_HEIGHT
    claims = []
    for part, is_low in ((moving & low, True), (moving & ~low, False)):
        labels = moving_clusters(result.cloud, part)
        for label in range(int(labels.max(initial=-1)) + 1):
            mine = labels == label
            if mine.sum() < MIN_CLAIM:
                continue
            speed = float(np.linalg.norm(result.flow.velocity[mine].mean(axis=0)))
            length = float(np.linalg.norm(np.ptp(points[mine, :2], axis=0)))
            arc = bool(is_low and mine.sum() >= MIN_POINTS and length > ARC_LENGTH)
            x, y, z = (float(value) for value in points[mine].mean(axis=0))
            claims.append(Claim(frame, int(mine.sum()), (x, y, z), speed, arc, speed > ABSURD))
    return claims


def _height_above_ground(result: SweepFlow, chosen: BoolArray) -> NDArray[np.float64]:
    """(n,) heights of the chosen points above the eight ground points nearest in the plane, m."""
    points = result.cloud.points
    ground = points[result.ground & ~result.flow.moving]
    if len(ground) < 8:
        return np.full(int(chosen.sum()), np.inf)
    _, nearest = cKDTree(ground[:, :2]).query(points[chosen, :2], k=8)
    heights: NDArray[np.float64] = points[chosen, 2] - np.median(ground[nearest, 2], axis=1)
    return heights


def figures_of(results: Iterable[ObjectResult], claims: Iterable[Claim]) -> dict[str, float | None]:
    """Figures by name, None where there is nothing to count.

    ``recall`` of moving vehicles and cyclists, ``recall_pedestrian`` of walking people, mean
    ``velocity_error`` of the movers found, m/s; ``zero_velocity_error``, of no motion; ``parked``
    vehicles and how many of them are said to move (``parked_claimed``), in sweeps; ``claims`` that
    no label explains, of them ``ground_arcs`` and ``absurd_speed``.
    """
    rows, others = list(results), list(claims)
    movers = [row for row in rows if row.moves and row.category not in PEOPLE]
    people = [row for row in rows if row.moves and row.category in PEOPLE]
    parked = [row for row in rows if row.parked]
    errors = [row.error for row in movers + people if row.found and row.error is not None]
    return {
        "movers": len(movers),
        "recall": _mean([row.found for row in movers]),
        "pedestrians": len(people),
        "recall_pedestrian": _mean([row.found for row in people]),
        "velocity_error": _mean(errors),
        "zero_velocity_error": _mean([row.speed for row in movers + people]),
        "parked": len(parked),
        "parked_claimed": sum(row.found for row in parked),
        "claims": len(others),
        "ground_arcs": sum(claim.ground_arc for claim in others),
        "absurd_speed": sum(claim.absurd for claim in others),
    }


def by_class_and_range(results: Iterable[ObjectResult]) -> dict[str, dict[str, float | None]]:
    """Recall and errors of the moving objects, for each category and each range of distance."""
    movers = [row for row in results if row.moves]
    parts: dict[str, list[ObjectResult]] = {}
    for row in movers:
        parts.setdefault(row.category, []).append(row)
    near, far = RANGES
    for name, low, high in (
        (f"< {near:g} m", 0.0, near),
        (f"{near:g} to {far:g} m", near, far),
        (f"> {far:g} m", far, np.inf),
    ):
        parts[name] = [row for row in movers if low <= row.distance < high]
    return {
        name: {
            "objects": len(rows),
            "recall": _mean([row.found for row in rows]),
            "velocity_error": _mean(
                [row.error for row in rows if row.found and row.error is not None]
            ),
            "epe": _mean([row.epe for row in rows]),
            "zero_velocity_error": _mean([row.speed for row in rows]),
        }
        for name, rows in parts.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
