"""A drone flies about a room; after a crash it is set down somewhere else."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception_sim.sensors.camera import Frame
from ssl_perception_sim.sensors.faults import Fault
from ssl_perception_sim.sensors.picture_faults import Picture
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.vehicles import Drone


class RoomFlight:
    """The world of one flight, and its counts. Set ``command`` after each frame.

    Args:
        seed: of room, start and turns.
        near_clearance: m; nearer is a near miss.
        start: which of the starts in this room; 0: the one of ``worlds.room``.

    Attributes:
        world: with the drone in it.
        avoid: the behaviour that turns scans into commands.
        command: what the drone does until the next frame.
        crashes, near: times. metres: flown. clearance: least, m. frames: seen.
    """

    def __init__(self, seed: int, near_clearance: float = 0.1, start: int = 0) -> None:
        self.world = worlds.room(seed)
        self.avoid = Avoid(seed=seed)
        self.command = Command()
        self._near_clearance = near_clearance
        self._room = rooms.plan(seed)
        _, self._taken = rooms.build(seed, self._room)
        self._rng = stream(seed, "respawn")
        if start:
            rng = stream(seed, "start", start)
            place, yaw = worlds.free_pose(rng, self._room, self._taken)
            self.world.vehicle = Drone(place, yaw)
            self.avoid = Avoid(seed=int(rng.integers(2**31)))
        self._reset_counts()

    def _reset_counts(self) -> None:
        self.crashes = self.near = self.frames = 0
        self.metres = 0.0
        self.clearance = math.inf
        self._turns_before = self.avoid.turns
        self._close = False

    @property
    def turns(self) -> int:
        """Times that it turned before an obstacle."""
        return self.avoid.turns - self._turns_before

    @property
    def position(self) -> NDArray[np.float64]:
        """(3,) m, of the drone in the room."""
        assert isinstance(self.world.vehicle, Drone)
        return self.world.vehicle.position

    @property
    def minutes(self) -> float:
        """Flown, by the number of frames."""
        return self.frames * self.world.tick / 60

    def lose_stereo(self, after: float = 0.0) -> None:
        """From ``after`` seconds on the right camera is black."""
        start = self.world.time + after
        self.suffer(Picture(fault="camera_black", side="right", start=start))

    def suffer(self, *faults: Fault) -> None:
        """From now on these faults, and no others, go wrong when they say."""
        self.world = self.world.fork(faults)

    def fork(self) -> RoomFlight:
        """Another future of this flight; counts from zero."""
        other = copy.copy(self)
        other.world = self.world.fork([])
        other.avoid = copy.deepcopy(self.avoid)
        other._rng = copy.deepcopy(self._rng)
        other._reset_counts()
        return other

    def fly(self, minutes: float) -> Iterator[Frame]:
        """What the camera gives, frame by frame."""
        for _ in range(round(minutes * 60 / self.world.tick)):
            sensors = self.world.step(self.command)
            drone = self.world.vehicle
            assert isinstance(drone, Drone)
            self.metres += float(np.linalg.norm(drone.velocity[:2])) * self.world.tick
            self.clearance = min(self.clearance, sensors.clearance)
            close = sensors.clearance < self._near_clearance
            self.near += close and not self._close
            self._close = close
            if sensors.clearance < 0:
                self.crashes += 1
                place, yaw = worlds.free_pose(self._rng, self._room, self._taken)
                self.world.vehicle = Drone(place, yaw, self.world.time)
                self._close = False
            for frame in sensors.frames:
                self.frames += 1
                yield frame
