"""The kind of street, and the road it lies along.

Everything in a street is placed along the road: ``s`` metres along its centre line, ``d`` metres to
the left of it. Traffic keeps to the right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator
from scipy.interpolate import CubicSpline

from ssl_perception.config import Section
from ssl_perception_sim.world.motion import Float, Trajectory
from ssl_perception_sim.world.randomness import stream

KERB = 0.13  # m
LANE = 3.3  # m


class StreetPlan(Section):
    """What a street is like."""

    lanes: int = Field(1, ge=1, le=3, description="lanes each way")
    parked: float = Field(0.45, ge=0, le=0.95, description="share of kerb taken by parked cars")
    vehicles: float = Field(5.0, ge=0, le=20, description="driving vehicles per 100 m")
    coaches: float = Field(0.0, ge=0, le=1, description="share of vehicles that are 15 m long")
    pedestrians: float = Field(6.0, ge=0, le=40, description="walkers per 100 m")
    cyclists: float = Field(2.0, ge=0, le=20, description="cyclists per 100 m")
    trees: float = Field(9.0, ge=0, le=20, description="kerbside trees per 100 m and side")
    hedges: float = Field(0.75, ge=0, le=1, description="share of front gardens that are green")
    slope: float = Field(0.03, ge=0, le=0.15, description="largest grade, m/m")
    bumps: float = Field(0.012, ge=0, le=0.1, description="unevenness of the ground, m (std)")
    slowest: float = Field(5.0, ge=0.5, le=40, description="m/s that the slowest aim at")
    fastest: float = Field(14.0, ge=0.5, le=40, description="m/s that the fastest aim at")
    ego_speed: float = Field(8.0, ge=0, le=30, description="m/s that the own car drives")
    length: float = Field(110.0, ge=20, le=300, description="m of street beyond the own car's way")

    @model_validator(mode="after")
    def _ordered(self) -> StreetPlan:
        if self.slowest > self.fastest:
            raise ValueError("slowest must not exceed fastest")
        return self


def plan(seed: int) -> StreetPlan:
    """A different kind of street for each seed: lanes, density, green and speed vary."""
    rng = stream(seed, "plan")
    return StreetPlan(
        lanes=int(rng.integers(1, 3)),
        parked=float(rng.uniform(0.2, 0.7)),
        vehicles=float(rng.uniform(3, 8)),
        pedestrians=float(rng.uniform(2, 9)),
        cyclists=float(rng.uniform(0.5, 4)),
        trees=float(rng.uniform(5, 14)),
        hedges=float(rng.uniform(0.5, 1.0)),
        slope=float(rng.uniform(0.0, 0.05)),
        bumps=float(rng.uniform(0.006, 0.02)),
        slowest=float(rng.uniform(2, 6)),
        fastest=float(rng.uniform(9, 20)),
        ego_speed=float(rng.uniform(4, 12)),
    )


class Road:
    """The centre line, the cross-section and the bumps.

    Args:
        seed, plan: of the street.
        start, end: range of s that must exist, m.
    """

    def __init__(self, seed: int, plan: StreetPlan, start: float, end: float) -> None:
        rng = stream(seed, "road")
        self.plan = plan
        self.half_width = plan.lanes * LANE + 2.3  # lanes and a parking strip
        self.walk = rng.uniform(2.5, 3.8)  # pavement
        s = np.arange(start - 30, end + 30, 2.0)
        waves = rng.uniform(60, 200, 3)
        bend = sum(
            rng.uniform(-0.006, 0.006) * np.sin(2 * np.pi * s / w + rng.uniform(0, 6.3))
            for w in waves
        )
        heading = np.cumsum(bend) * 2.0
        heading += rng.uniform(-0.3, 0.3) - np.interp(0, s, heading)
        grade = plan.slope * np.sin(2 * np.pi * s / rng.uniform(120, 300) + rng.uniform(0, 6.3))
        x, y, z = (np.cumsum(v) * 2.0 for v in (np.cos(heading), np.sin(heading), grade))
        zero = [np.interp(0, s, v) for v in (x, y, z)]
        self._line = CubicSpline(s, np.stack([x - zero[0], y - zero[1], z - zero[2]], 1))
        self._slope = self._line.derivative()
        self._waves = rng.uniform(0.5, 4.0, (12, 2)) * rng.choice([-1, 1], (12, 2))
        self._wave_phase = rng.uniform(0, 2 * np.pi, 12)
        self._tilt = rng.uniform(-0.03, 0.06, 2)  # the land beside the pavements

    def heading(self, s: ArrayLike) -> Float:
        """Direction of the road, rad."""
        slope = self._slope(s)
        return np.arctan2(slope[..., 1], slope[..., 0])

    def height(self, s: ArrayLike, d: ArrayLike, bumps: bool = True) -> Float:
        """Ground level, m; ``bumps=False`` gives the smooth surface below the unevenness."""
        s, d = np.broadcast_arrays(np.asarray(s, float), np.asarray(d, float))
        side = np.abs(d)
        edge = self.half_width + self.walk
        level = self._line(s)[..., 2] - 0.02 * np.minimum(side, self.half_width)  # crown
        level = level + np.where(side > self.half_width + 1e-3, KERB, 0.0)
        level = level + np.maximum(side - edge, 0) * self._tilt[(d > 0).astype(int)]
        if bumps:
            rough = sum(
                np.sin(a * s + b * d + c)
                for (a, b), c in zip(self._waves, self._wave_phase, strict=True)
            )
            factor = np.where(side > edge, 3.0, 1.0)
            level = level + self.plan.bumps * factor * rough / np.sqrt(6)
        return level

    def place(self, s: ArrayLike, d: ArrayLike, bumps: bool = True) -> Float:
        """(..., 3) world position on the ground."""
        s, d = np.broadcast_arrays(np.asarray(s, float), np.asarray(d, float))
        heading = self.heading(s)
        out = self._line(s).copy()
        out[..., 0] -= np.sin(heading) * d
        out[..., 1] += np.cos(heading) * d
        out[..., 2] = self.height(s, d, bumps)
        return out

    def drive(self, times: Float, s: Float, d: Float, sway: float = 0.0) -> Trajectory:
        """The motion of something that is at (s, d) at ``times`` and looks where it goes."""
        position = self.place(s, d, bumps=False)
        velocity = np.gradient(position, times, axis=0)
        speed = np.linalg.norm(velocity[:, :2], axis=1)
        yaw = np.arctan2(velocity[:, 1], velocity[:, 0])
        slow = speed < 0.3
        forward = np.sign(s[-1] - s[0]) or 1.0
        rest = self.heading(s) + (0 if forward > 0 else np.pi)
        yaw = np.where(slow, rest, yaw)
        ahead = self.height(s + forward * 1.3, d, False) - self.height(s - forward * 1.3, d, False)
        pitch = -np.arctan2(ahead, 2.6)
        roll = sway * np.sin(2 * np.pi * 1.1 * times) * np.minimum(speed / 8, 1)
        return Trajectory(times, position, np.stack([roll, pitch, yaw], 1))
