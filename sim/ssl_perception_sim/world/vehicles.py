"""How vehicles answer commands: a drone that holds its height, a car, or a path set beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ssl_perception.obstacles.avoid import Command
from ssl_perception_sim.world.motion import Float, Motion, Recorded

GRAVITY = 9.81  # m/s2
STEP = 0.01  # s, of integration


class Vehicle(Protocol):
    """Something that carries the sensors.

    Attributes:
        motion: ``world_from_body`` over time, up to now.
        radius: m, of the disc that mustn't touch anything.
    """

    motion: Motion
    radius: float

    def drive(self, command: Command, start: float, end: float) -> None:
        """Move from ``start`` to ``end`` (s) under a command."""
        ...


@dataclass
class Scripted:
    """Follows a path set beforehand; commands have no effect."""

    motion: Motion
    radius: float = 0.0

    def drive(self, command: Command, start: float, end: float) -> None:
        """The path is a function of time already."""


class Drone:
    """A quadrotor under velocity control: first-order lag, limited acceleration, tilt as needed.

    Args:
        position: (3,) m. yaw: rad. time: s.
        lag: s, of speed and of yaw rate. acceleration: m/s2, the most it can do.
        radius: m, propellers included.
    """

    def __init__(
        self, position: Float, yaw: float, time: float = 0.0, lag: float = 0.25,
        acceleration: float = 3.0, radius: float = 0.15,
    ) -> None:  # fmt: skip
        self.position, self.yaw = np.asarray(position, float).copy(), yaw
        self.velocity, self.yaw_rate = np.zeros(3), 0.0
        self.lag, self.acceleration, self.radius = lag, acceleration, radius
        self._height = float(self.position[2])
        self._tilt = np.zeros(2)  # roll, pitch
        self.motion: Motion = Recorded(time, self.position, np.array([0.0, 0.0, yaw]))

    def drive(self, command: Command, start: float, end: float) -> None:
        """Integrate in steps of 10 ms."""
        steps = max(1, round((end - start) / STEP))
        dt = (end - start) / steps
        for k in range(steps):
            heading = np.array([np.cos(self.yaw), np.sin(self.yaw), 0.0])
            want = heading * command.vx
            want[2] = np.clip(self._height - self.position[2], -0.5, 0.5)
            push = (want - self.velocity) / self.lag
            size = np.linalg.norm(push)
            if size > self.acceleration:
                push *= self.acceleration / size
            self.velocity = self.velocity + push * dt
            self.position = self.position + self.velocity * dt
            self.yaw_rate += (command.yaw_rate - self.yaw_rate) / self.lag * dt
            self.yaw += self.yaw_rate * dt
            forward = push[:2] @ heading[:2]
            left = push[1] * heading[0] - push[0] * heading[1]
            goal = np.array([-np.arctan2(left, GRAVITY), np.arctan2(forward, GRAVITY)])
            self._tilt += (goal - self._tilt) * min(1.0, dt / 0.05)  # attitude loop
            angles = np.array([self._tilt[0], self._tilt[1], self.yaw])
            assert isinstance(self.motion, Recorded)
            self.motion.add(start + (k + 1) * dt, self.position, angles)


class Car:
    """A car on a road: forward speed and yaw rate with lag, no sideways motion.

    Args:
        path: gives height, roll and pitch of the ground below (x, y).
    """

    def __init__(
        self, position: Float, yaw: float, time: float = 0.0, lag: float = 0.4,
        acceleration: float = 2.5, radius: float = 1.3,
    ) -> None:  # fmt: skip
        self.position, self.yaw, self.speed, self.yaw_rate = (
            np.array(position, float),
            yaw,
            0.0,
            0.0,
        )
        self.lag, self.acceleration, self.radius = lag, acceleration, radius
        self.motion: Motion = Recorded(time, self.position, np.array([0.0, 0.0, yaw]))

    def drive(self, command: Command, start: float, end: float) -> None:
        """Integrate in steps of 10 ms."""
        steps = max(1, round((end - start) / STEP))
        dt = (end - start) / steps
        for k in range(steps):
            push = np.clip(
                (command.vx - self.speed) / self.lag, -2 * self.acceleration, self.acceleration
            )
            self.speed += float(push) * dt
            # a car turns only as fast as its wheels roll: at least 5 m of radius
            limit = abs(self.speed) / 5.0
            want = float(np.clip(command.yaw_rate, -limit, limit))
            self.yaw_rate += (want - self.yaw_rate) / self.lag * dt
            self.yaw += self.yaw_rate * dt
            self.position[:2] += self.speed * dt * np.array([np.cos(self.yaw), np.sin(self.yaw)])
            assert isinstance(self.motion, Recorded)
            self.motion.add(
                start + (k + 1) * dt, self.position, np.array([0.0, -0.01 * push, self.yaw])
            )
