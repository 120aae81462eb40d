"""A quadrotor with real dynamics (RotorPy: rotors, drag, attitude control); extra ``rotorpy``.

RotorPy's velocity control takes no yaw command, so yaw is added on top: it turns the sensors and
the commands, and leaves the thrust alone, as yaw does on a quadrotor. Its motor noise is left out:
it comes from NumPy's global generator, and the same seed would no longer give the same flight.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception.obstacles.avoid import Command
from ssl_perception_sim.world.motion import Float, Motion, Recorded

STEP = 0.01  # s
VELOCITY_GAIN = 3.0  # 1/s; RotorPy's own (10) tilts by 20 degrees for 0.5 m/s


class RotorPyDrone:
    """As ``vehicles.Drone``, with the motion computed by RotorPy.

    Args:
        position: (3,) m. yaw: rad. time: s.

    Raises:
        InputError: RotorPy is not installed.
    """

    def __init__(
        self, position: Float, yaw: float, time: float = 0.0, radius: float = 0.15
    ) -> None:
        try:
            from rotorpy.vehicles.crazyflie_params import quad_params
            from rotorpy.vehicles.multirotor import Multirotor
        except ImportError:
            raise InputError(
                "vehicle.kind: RotorPy is not installed; pip install 'ssl-perception[rotorpy]'"
            ) from None
        self._model = Multirotor(
            {**quad_params, "k_v": VELOCITY_GAIN, "motor_noise_std": 0.0},
            control_abstraction="cmd_vel",
        )
        hover = float(np.sqrt(self._model.mass * self._model.g / self._model.k_eta / 4))
        self._state: dict[str, Any] = {
            "x": np.asarray(position, float).copy(),
            "v": np.zeros(3),
            "q": np.array([0.0, 0.0, 0.0, 1.0]),
            "w": np.zeros(3),
            "wind": np.zeros(3),
            "rotor_speeds": np.full(4, hover),
        }
        self.yaw, self.yaw_rate, self.radius = yaw, 0.0, radius
        self._height = float(position[2])
        self.motion: Motion = Recorded(time, self._state["x"], np.array([0.0, 0.0, yaw]))

    def drive(self, command: Command, start: float, end: float) -> None:
        """Integrate in steps of 10 ms."""
        steps = max(1, round((end - start) / STEP))
        dt = (end - start) / steps
        assert isinstance(self.motion, Recorded)
        for k in range(steps):
            heading = np.array([np.cos(self.yaw), np.sin(self.yaw), 0.0])
            want = heading * command.vx
            want[2] = np.clip(self._height - self._state["x"][2], -0.5, 0.5)
            self._state = self._model.step(self._state, {"cmd_v": want}, dt)
            self.yaw_rate += (command.yaw_rate - self.yaw_rate) / 0.25 * dt
            self.yaw += self.yaw_rate * dt
            self.motion.add(start + (k + 1) * dt, self._state["x"], self._angles())

    def _angles(self) -> Float:
        """Roll, pitch and yaw of the body: RotorPy's tilt seen from the heading."""
        x, y, z, w = self._state["q"]
        up = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        forward, left = up[0] * c + up[1] * s, up[1] * c - up[0] * s
        return np.array([-np.arcsin(left), np.arctan2(forward, up[2]), self.yaw])
