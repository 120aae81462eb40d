"""Where a rigid body is at a time: ``world_from_body``, exact at any instant.

Every motion answers ``pose(times (C,)) -> (rotations (C, 3, 3), positions (C, 3))`` in float64.
Ground truth and rays use the same function, so the truth can't drift from what the sensors see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

Float = NDArray[np.float64]


class Motion(Protocol):
    """A rigid motion through the world."""

    def pose(self, times: Float) -> tuple[Float, Float]:
        """Rotations (C, 3, 3) and positions (C, 3) at ``times`` (C,), seconds."""
        ...


def rotation(roll: ArrayLike, pitch: ArrayLike, yaw: ArrayLike) -> Float:
    """Rz(yaw) Ry(pitch) Rx(roll), (C, 3, 3), from angles of one shape (C,), radians."""
    angles = np.stack(np.broadcast_arrays(*np.atleast_1d(roll, pitch, yaw)))
    (cr, cp, cy), (sr, sp, sy) = np.cos(angles), np.sin(angles)
    out = np.empty((len(cr), 3, 3))
    out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = (
        cy * cp,
        cy * sp * sr - sy * cr,
        cy * sp * cr + sy * sr,
    )
    out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = (
        sy * cp,
        sy * sp * sr + cy * cr,
        sy * sp * cr - cy * sr,
    )
    out[:, 2, 0], out[:, 2, 1], out[:, 2, 2] = -sp, cp * sr, cp * cr
    return out


def transform(rotations: Float, positions: Float) -> Float:
    """(4, 4) from one rotation and one position."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotations, positions
    return matrix


@dataclass(frozen=True)
class Still:
    """Does not move."""

    rotation: Float = field(default_factory=lambda: np.eye(3))
    position: Float = field(default_factory=lambda: np.zeros(3))

    def pose(self, times: Float) -> tuple[Float, Float]:
        count = len(times)
        return (
            np.broadcast_to(self.rotation, (count, 3, 3)),
            np.broadcast_to(self.position, (count, 3)),
        )


@dataclass(frozen=True)
class Arc:
    """Constant speed and yaw rate on level ground, in closed form.

    Attributes:
        start: (3,) position at t = 0, m.
        yaw: heading at t = 0, rad.
        speed: m/s. yaw_rate: rad/s.
    """

    start: Float
    yaw: float
    speed: float
    yaw_rate: float = 0.0

    def pose(self, times: Float) -> tuple[Float, Float]:
        turn = self.yaw_rate * times
        # sinc keeps the straight line (yaw_rate 0) in the same formula
        chord = self.speed * times * np.sinc(turn / 2 / np.pi)
        along = self.yaw + turn / 2
        shift = np.stack([chord * np.cos(along), chord * np.sin(along), np.zeros_like(chord)], 1)
        zero = np.zeros_like(turn)
        return rotation(zero, zero, self.yaw + turn), np.asarray(self.start) + shift


class Trajectory:
    """A smooth path through sampled poses (cubic splines, twice differentiable).

    Args:
        times: (K,) increasing, s.
        position: (K, 3) m.
        angles: (K, 3) roll, pitch, yaw, rad; yaw unwrapped here.
    """

    def __init__(self, times: Float, position: Float, angles: Float) -> None:
        self.times = np.asarray(times, float)
        values = np.concatenate([position, np.unwrap(angles, axis=0)], axis=1)
        self._spline = CubicSpline(self.times, values, extrapolate=True)

    def pose(self, times: Float) -> tuple[Float, Float]:
        values = self._spline(times)
        return rotation(values[:, 3], values[:, 4], values[:, 5]), values[:, :3]


class Recorded:
    """The path of a vehicle that is driven while the world runs: poses are added as it goes.

    Between added poses the position is interpolated linearly and so are the angles.
    """

    def __init__(self, time: float, position: Float, angles: Float) -> None:
        self._rows: list[Float] = [np.array([time, *position, *angles], float)]

    def add(self, time: float, position: Float, angles: Float) -> None:
        """Append a pose; ``time`` must grow and yaw must be unwrapped."""
        self._rows.append(np.array([time, *position, *angles], float))
        if len(self._rows) > 2000:  # sensors look back at most one sweep
            del self._rows[:1000]

    def pose(self, times: Float) -> tuple[Float, Float]:
        table = np.asarray(self._rows[-400:] if len(self._rows) > 400 else self._rows)
        value = [np.interp(times, table[:, 0], table[:, k]) for k in range(1, 7)]
        return rotation(*value[3:]), np.stack(value[:3], 1)


@dataclass(frozen=True)
class Joint:
    """A part that swings about a hinge on its parent: limbs of walkers, pedals of cyclists.

    Angle = ``mean + amplitude sin(rate t + phase)`` about the parent's y axis; with ``spin`` the
    angle is ``rate t + phase``.
    """

    parent: Motion
    hinge: Float
    mean: float = 0.0
    amplitude: float = 0.0
    rate: float = 0.0
    phase: float = 0.0
    spin: bool = False

    def pose(self, times: Float) -> tuple[Float, Float]:
        return self.on(*self.parent.pose(times), times)

    def on(self, base: Float, origin: Float, times: Float) -> tuple[Float, Float]:
        """The pose, given the parent's at the same times."""
        cycle = self.rate * times + self.phase
        angle = cycle if self.spin else self.mean + self.amplitude * np.sin(cycle)
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        x, z = base[..., 0], base[..., 2]
        swung = np.stack([x * c - z * s, base[..., 1], x * s + z * c], axis=2)
        return swung, origin + base @ np.asarray(self.hinge, float)


class Poses:
    """Poses at the same times, each motion asked once: an actor's parts share their parents."""

    def __init__(self, times: Float) -> None:
        self.times = times
        self._known: dict[int, tuple[Float, Float]] = {}

    def of(self, motion: Motion) -> tuple[Float, Float]:
        """As ``motion.pose(times)``."""
        known = self._known.get(id(motion))
        if known is None:
            if isinstance(motion, Joint):
                known = motion.on(*self.of(motion.parent), self.times)
            else:
                known = motion.pose(self.times)
            self._known[id(motion)] = known
        return known
