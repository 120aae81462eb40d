"""Crashes, clearance and distance of a simulated flight, from the true state of its world."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ssl_perception.obstacles.avoid import Command
from ssl_perception_sim.world.world import Sensors, World

NEAR = 0.1  # m between the vehicle and something that count as a near miss


@dataclass
class FlightRecord:
    """Statistics of one vehicle's flight; ``add`` every step of its world.

    Attributes:
        seed: of room and start.
        seconds: flown.
        crashes: times that it touched something (a touch lasting several steps counts once).
        near_seconds: s with less than ``NEAR`` between it and something.
        least_clearance: m; below 0 after a crash.
        distance: m flown.
        turns: times that it turned on the spot.
    """

    seed: int
    seconds: float = 0.0
    crashes: int = 0
    near_seconds: float = 0.0
    least_clearance: float = np.inf
    distance: float = 0.0
    turns: int = 0
    _touching: bool = field(default=False, repr=False)
    _turning: bool = field(default=False, repr=False)
    _last: np.ndarray | None = field(default=None, repr=False)

    def add(self, world: World, sensors: Sensors, command: Command) -> None:
        """Count a step.

        Args:
            world: after the step.
            sensors: what the step gave.
            command: that the vehicle had during it.
        """
        step = sensors.time - self.seconds
        self.seconds = sensors.time
        touching = sensors.clearance < 0
        self.crashes += touching and not self._touching
        self._touching = touching
        turning = command.vx == 0.0 and command.yaw_rate != 0.0
        self.turns += turning and not self._turning
        self._turning = turning
        self.near_seconds += step * (sensors.clearance < NEAR)
        self.least_clearance = min(self.least_clearance, sensors.clearance)
        _, (position,) = world.vehicle.motion.pose(np.array([sensors.time]))
        if self._last is not None:
            self.distance += float(np.linalg.norm(position - self._last))
        self._last = position

    def figures(self) -> dict[str, float | None]:
        """The figures by name; no clearance for a vehicle that can't touch anything."""
        return {
            "seed": self.seed,
            "minutes": self.seconds / 60,
            "crashes": int(self.crashes),
            "near": self.near_seconds / self.seconds if self.seconds else 0.0,
            "least_clearance": self.least_clearance if np.isfinite(self.least_clearance) else None,
            "distance": self.distance,
            "turns": int(self.turns),
        }
