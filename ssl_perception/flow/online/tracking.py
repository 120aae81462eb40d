"""Moving objects over time: identity, smoothed velocity, age.

Each track is a constant-velocity Kalman filter on the ground plane, in the newest sweep's frame.
Both axes share one 2 x 2 covariance of position and velocity, so that rotating the frame leaves it
as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ssl_perception.config import TrackingConfig
from ssl_perception.flow.online.boxes import corners
from ssl_perception.types import FloatArray, MovingObject

POSITION_NOISE = 0.3  # m: the seen part of an object changes with the view
VELOCITY_NOISE = 0.5  # m/s: 5 cm of flow in 0.1 s
TURNING_SPEED = 0.5  # m/s; slower objects keep their heading


@dataclass(frozen=True, eq=False)
class Detection:
    """One moving body in the newest sweep.

    Attributes:
        points: (n, 3) metres, in the sweep's frame.
        velocity: (3,) m/s over ground.
        confidence: in [0, 1].
        indices: (n,) which points of the sweep they are.
    """

    points: FloatArray
    velocity: NDArray[np.float64]
    confidence: float
    indices: NDArray[np.intp]

    @cached_property
    def corners(self) -> FloatArray:
        """(2, 3) lower and upper corner of the box around the points."""
        return corners(self.points)

    @property
    def middle(self) -> NDArray[np.float64]:
        """(2,) middle of the box, seen from above."""
        return self.corners[:, :2].astype(np.float64).mean(axis=0)


@dataclass(frozen=True, eq=False)
class PredictedTrack:
    """A track predicted to the newest sweep, whether or not it is detected there.

    Attributes:
        lower, upper: (3,) corners of its box, metres.
        velocity: (3,) m/s over ground.
        hits: sweeps in which it was seen.
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    velocity: NDArray[np.float64]
    hits: int


class _Track:
    def __init__(self, identity: int, seen: Detection) -> None:
        self.id = identity
        self.position = seen.middle
        self.velocity = seen.velocity[:2].astype(np.float64)
        self.covariance = np.diag([POSITION_NOISE**2, VELOCITY_NOISE**2])
        self.age = 0.0
        self.hits = 1
        self.missed = 0.0
        self.seen = seen

    def predicted(self) -> PredictedTrack:
        offset = np.append(self.position - self.seen.middle, 0.0)
        low, high = self.seen.corners
        velocity = np.append(self.velocity, 0.0)
        return PredictedTrack(low + offset, high + offset, velocity, self.hits)

    def predict(
        self, current_from_previous: NDArray[np.float64], interval: float, q: float
    ) -> None:
        rotation = current_from_previous[:2, :2]
        moved = self.position + interval * self.velocity
        self.position = rotation @ moved + current_from_previous[:2, 3]
        self.velocity = rotation @ self.velocity
        step = np.array([[1.0, interval], [0.0, 1.0]])
        push = np.array([0.5 * interval**2, interval])
        self.covariance = step @ self.covariance @ step.T + q**2 * np.outer(push, push)
        self.age += interval

    def update(self, seen: Detection) -> None:
        noise = np.diag([POSITION_NOISE**2, VELOCITY_NOISE**2])
        gain = self.covariance @ np.linalg.inv(self.covariance + noise)
        wrong = np.stack([seen.middle - self.position, seen.velocity[:2] - self.velocity])
        self.position, self.velocity = np.stack([self.position, self.velocity]) + gain @ wrong
        self.covariance = (np.eye(2) - gain) @ self.covariance
        self.hits += 1
        self.missed = 0.0
        self.seen = seen


class Tracker:
    """Keeps the tracks; ``update`` once a sweep."""

    def __init__(self, options: TrackingConfig | None = None) -> None:
        self.options = options or TrackingConfig()
        self._tracks: list[_Track] = []
        self._next = 1

    def reset(self) -> None:
        """Drop all tracks; identities go on counting."""
        self._tracks.clear()

    def advance(
        self, current_from_previous: NDArray[np.float64], interval: float
    ) -> list[PredictedTrack]:
        """Predict the tracks to the newest sweep.

        Args:
            current_from_previous: (4, 4) ego motion.
            interval: seconds since the sweep before, positive.

        Returns:
            Their predictions.
        """
        for track in self._tracks:
            track.predict(current_from_previous, interval, self.options.acceleration)
            track.missed += interval
        return [track.predicted() for track in self._tracks]

    def update(self, detections: list[Detection]) -> list[MovingObject]:
        """Associate the newest sweep's detections; ``advance`` comes before.

        Returns:
            One object per detection, in their order.
        """
        options = self.options
        matched: dict[int, _Track] = {}
        if self._tracks and detections:
            cost = _costs(self._tracks, detections)
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if cost[row, column] <= options.gate:
                    matched[int(column)] = self._tracks[row]
        objects = []
        for k, seen in enumerate(detections):
            if k in matched:
                track = matched[k]
                track.update(seen)
            else:
                track = _Track(self._next, seen)
                self._next += 1
                self._tracks.append(track)
            objects.append(_object(track, options))
        self._tracks = [t for t in self._tracks if t.missed <= options.keep]
        return objects


def _costs(tracks: list[_Track], detections: list[Detection]) -> NDArray[np.float64]:
    """(tracks, detections): standard deviations from predicted position and velocity."""
    predicted = np.array([[track.position, track.velocity] for track in tracks])
    found = np.array([[seen.middle, seen.velocity[:2]] for seen in detections])
    spread = np.array([np.diag(track.covariance) for track in tracks])
    spread = np.sqrt(spread + np.array([POSITION_NOISE, VELOCITY_NOISE]) ** 2)
    apart = np.linalg.norm(predicted[:, None] - found[None], axis=-1) / spread[:, None]
    cost: NDArray[np.float64] = np.linalg.norm(apart, axis=-1)
    return cost


def _object(track: _Track, options: TrackingConfig) -> MovingObject:
    points, velocity = track.seen.points, np.append(track.velocity, track.seen.velocity[2])
    yaw = float(np.arctan2(velocity[1], velocity[0]))
    if np.hypot(velocity[0], velocity[1]) < TURNING_SPEED:
        yaw = _long_side(points)
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = points.T
    sides = (cos * x + sin * y, cos * y - sin * x, z)
    low = np.array([side.min() for side in sides], np.float64)
    high = np.array([side.max() for side in sides], np.float64)
    middle = (low + high) / 2
    return MovingObject(
        id=track.id,
        centre=np.array(
            [cos * middle[0] - sin * middle[1], sin * middle[0] + cos * middle[1], middle[2]]
        ),
        size=high - low,
        yaw=yaw,
        velocity=velocity,
        points=track.seen.indices,
        age=track.age,
        confidence=track.seen.confidence * min(1.0, track.hits / options.confirm),
        covariance=track.covariance,
    )


def _long_side(points: FloatArray) -> float:
    flat = points[:, :2] - points[:, :2].mean(axis=0)
    _, vectors = np.linalg.eigh(np.einsum("ij,ik->jk", flat, flat))
    return float(np.arctan2(vectors[1, -1], vectors[0, -1]))
