"""A world that runs: ``world.step(command) -> sensors``."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssl_perception.obstacles.avoid import Command
from ssl_perception.types import Odometry
from ssl_perception_sim.sensors import faults as wrong
from ssl_perception_sim.sensors import lidar as lidars
from ssl_perception_sim.sensors.camera import Frame, StereoCamera
from ssl_perception_sim.sensors.faults import Fault, Sensor
from ssl_perception_sim.sensors.lidar import Lidar, Sweep
from ssl_perception_sim.sensors.picture_faults import CameraFaults
from ssl_perception_sim.world.motion import transform
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.scene import Rays, Scene
from ssl_perception_sim.world.vehicles import Vehicle


@dataclass(frozen=True, eq=False)
class Reading:
    """Something a sensor gave, and when the robot's computer got it (s)."""

    arrival: float
    value: Sweep | Frame | Odometry


@dataclass(frozen=True, eq=False)
class Sensors:
    """All that arrived during one step, in the order of arrival.

    Attributes:
        time: end of the step, s.
        readings: what came.
        clearance: m between the vehicle's disc and the nearest surface at its height; the truth,
            for scoring alone. Below 0 the vehicle has touched something.
    """

    time: float
    readings: list[Reading]
    clearance: float

    @property
    def sweeps(self) -> list[Sweep]:
        """Lidar sweeps."""
        return [r.value for r in self.readings if isinstance(r.value, Sweep)]

    @property
    def frames(self) -> list[Frame]:
        """Stereo pairs with their truth."""
        return [r.value for r in self.readings if isinstance(r.value, Frame)]

    @property
    def odometry(self) -> list[Odometry]:
        """Poses that the robot believes, drift included."""
        return [r.value for r in self.readings if isinstance(r.value, Odometry)]


class World:
    """Bodies, one vehicle, its sensors, and a clock.

    Args:
        seed: of every random choice.
        scene: what there is.
        vehicle: what carries the sensors.
        camera: or None. lidar: or None.
        tick: s that one step takes.
        odometry_rate: poses a second.
        drift: relative error of odometry's speed; its yaw drifts by a hundredth of that, rad/m.
        faults: what goes wrong with the sensors.
    """

    def __init__(
        self,
        seed: int,
        scene: Scene,
        vehicle: Vehicle,
        camera: StereoCamera | None = None,
        lidar: Lidar | None = None,
        tick: float = 0.1,
        odometry_rate: float = 50.0,
        drift: float = 0.005,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.seed, self.scene, self.vehicle = seed, scene, vehicle
        self.camera, self.lidar, self.tick = camera, lidar, tick
        self.odometry_rate, self.faults = odometry_rate, faults
        self.steps = 0
        rng = stream(seed, "odometry")
        self._scale = 1.0 + rng.normal(0, drift)
        self._yaw_per_m = rng.normal(0, drift / 100)
        self._believed: np.ndarray | None = None
        self._last_true = np.eye(4)
        self._spoiled = CameraFaults(faults, seed)
        self._under_way: list[Reading] = []

    @property
    def time(self) -> float:
        """Now, s."""
        return self.steps * self.tick

    def step(self, command: Command | None = None) -> Sensors:
        """Let ``tick`` seconds pass under a command.

        A sweep arrives when its turn is over and is stamped with its start; a frame arrives and is
        stamped when it is taken. Faults may delay, lose or mis-stamp either.
        """
        start, end = self.time, (self.steps + 1) * self.tick
        self.vehicle.drive(command or Command(), start, end)
        self.steps += 1
        self._under_way += self._odometry(start, end)
        self._under_way += self._sweeps(start, end)
        self._under_way += self._frames(start, end)
        self._under_way.sort(key=lambda reading: reading.arrival)
        arrived = [r for r in self._under_way if r.arrival <= end + 1e-9]
        del self._under_way[: len(arrived)]
        return Sensors(end, arrived, self._clearance(end))

    def fork(self, faults: Sequence[Fault] = ()) -> World:
        """Another future from now on: the same scene, a copy of the vehicle, other faults.

        Neither future knows of the other; they may be stepped in turns.
        """
        other = copy.copy(self)
        other.vehicle = copy.deepcopy(self.vehicle)
        other.faults = faults
        other._spoiled = CameraFaults(faults, self.seed, self._spoiled)
        other._under_way = list(self._under_way)
        return other

    def run(self, seconds: float) -> Iterator[Sensors]:
        """Steps without commands, for worlds whose vehicle has its path set."""
        for _ in range(round(seconds / self.tick)):
            yield self.step()

    def _due(self, rate: float, start: float, end: float) -> range:
        """Numbers k of the events at k / rate within (start, end]."""
        small = 1e-9
        return range(int(np.floor(start * rate + small)) + 1, int(np.floor(end * rate + small)) + 1)

    def _delivered(self, sensor: Sensor, k: int, rate: float) -> tuple[float, float] | None:
        """When message k of a sensor arrives and how wrong its stamp is, s; None: never."""
        sent = k / rate
        fate = wrong.delivery(self.faults, sensor, k, sent, 1.0 / rate, self.seed)
        return None if fate is None else (sent + fate[0], fate[1])

    def _odometry(self, start: float, end: float) -> Iterator[Reading]:
        due = self._due(self.odometry_rate, start, end)
        if not due:
            return
        times = np.array(due) / self.odometry_rate
        for k, turn, place in zip(due, *self.vehicle.motion.pose(times), strict=True):
            true = transform(turn, place)
            if self._believed is None:
                self._believed = true
            else:
                move = _after(_inverse(self._last_true), true)
                error = self._yaw_per_m * float(np.linalg.norm(move[:3, 3]))
                move[:3, 3] *= self._scale
                c, s = np.cos(error), np.sin(error)
                turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
                move[:3, :3] = _after(move[:3, :3], turned)
                self._believed = _after(self._believed, move)
            self._last_true = true
            fate = self._delivered("odometry", k, self.odometry_rate)
            if fate is not None:
                stamp = k / self.odometry_rate + fate[1]
                yield Reading(fate[0], Odometry(self._believed.copy(), stamp, "odom", "base_link"))

    def _sweeps(self, start: float, end: float) -> Iterator[Reading]:
        if self.lidar is None:
            return
        rate = self.lidar.rate
        for k in self._due(rate, start, end):
            fate = self._delivered("lidar", k, rate)
            if fate is None:
                continue
            stamp = (k - 1) / rate
            turn = lidars.sweep(
                self.lidar, self.scene, self.vehicle.motion, stamp, self.seed, k - 1,
                dead_sector=wrong.dead_sector(self.faults, stamp),
            )  # fmt: skip
            if fate[1]:
                turn = replace(turn, cloud=replace(turn.cloud, stamp=stamp + fate[1]))
            yield Reading(fate[0], turn)

    def _frames(self, start: float, end: float) -> Iterator[Reading]:
        if self.camera is None:
            return
        rate = self.camera.rig.rate
        for k in self._due(rate, start, end):
            fate = self._delivered("camera", k, rate)
            if fate is None:
                continue
            frame = self.camera.capture(
                self.vehicle.motion,
                k / rate,
                k,
                right_turn=wrong.right_turn(self.faults, k / rate),
                right_lag=wrong.right_lag(self.faults, k / rate),
                with_right=not self._spoiled.black("right", k / rate),
            )
            pair = self._spoiled.apply(frame.pair)
            if fate[1]:
                pair = replace(pair, stamp=pair.stamp + fate[1])
            yield Reading(fate[0], replace(frame, pair=pair))

    def _clearance(self, time: float) -> float:
        if self.vehicle.radius <= 0:
            return np.inf
        _, (place,) = self.vehicle.motion.pose(np.array([time]))
        azimuth = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        fan = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros_like(azimuth)], 1)
        rays = Rays(np.array([time]), place[None], fan[None].astype(np.float32), 10.0)
        return float(self.scene.cast(rays).distance.min()) - self.vehicle.radius


def _after(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``first @ second`` without BLAS, whose kernels round differently on other processors: the
    same seed must give the same bytes on all of them."""
    product: np.ndarray = np.einsum("ij,jk->ik", first, second)
    return product


def _inverse(pose: np.ndarray) -> np.ndarray:
    """Of a (4, 4) rigid motion."""
    turn, place = pose[:3, :3], pose[:3, 3]
    return transform(turn.T, -np.einsum("ji,j->i", turn, place))
