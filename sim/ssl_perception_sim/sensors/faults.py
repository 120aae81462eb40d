"""What goes wrong with sensors, as part of a world.

Each fault has a time from which and until which it holds. Faults of pictures (``picture_faults``),
of the cameras' places and of the shutter change what the camera gives, the truth stays what it is;
faults of messages change stamps and arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ssl_perception_sim.sensors.picture_faults import PICTURE_FAULTS, PictureFault
from ssl_perception_sim.sensors.spell import Spell
from ssl_perception_sim.world.motion import rotation
from ssl_perception_sim.world.randomness import stream

Sensor = Literal["camera", "lidar", "odometry"]


class Decalibration(Spell):
    """The right camera has been knocked: it is turned, and camera_info doesn't know."""

    fault: Literal["camera_decalibrated"] = "camera_decalibrated"
    about: Literal["roll_pitch", "yaw"] = Field(
        "roll_pitch", description="roll_pitch: rolled, and pitched by half of it; yaw: sideways"
    )
    angle: float = Field(0.5, ge=-10, le=10, description="degrees; yaw: positive to the left")
    rate: float = Field(0.0, ge=-10, le=10, description="degrees a second, added since the start")

    def turn(self, time: float) -> NDArray[np.float64]:
        """(3, 3) rotation of the right camera in its optical axes at ``time``, s."""
        angle = np.deg2rad(self.angle + self.rate * (time - self.start))
        if self.about == "yaw":
            sideways: NDArray[np.float64] = rotation(0.0, -angle, 0.0)[0]
            return sideways
        return np.einsum(
            "ij,jk->ik", rotation(0.0, 0.0, angle)[0], rotation(angle / 2, 0.0, 0.0)[0]
        )


class Lag(Spell):
    """The right camera's shutter is late; the pair has the left one's stamp."""

    fault: Literal["camera_lag"] = "camera_lag"
    lag: float = Field(0.033, ge=0, le=10, description="s")


class DeadSector(Spell):
    """Nothing comes back from a sector of the lidar's turn."""

    fault: Literal["lidar_dead_sector"]
    first: float = Field(0.0, ge=-180, le=180, description="azimuth, degrees")
    last: float = Field(60.0, ge=-180, le=180, description="azimuth, degrees")


class Late(Spell):
    """Messages arrive late; their stamps are right."""

    fault: Literal["late"]
    sensor: Sensor = Field("camera", description="whose messages")
    delay: float = Field(0.2, ge=0, le=60, description="s")


class ClockJump(Spell):
    """The sensor's clock is off from then on."""

    fault: Literal["clock_jump"]
    sensor: Sensor = Field("lidar", description="whose stamps")
    jump: float = Field(1.0, ge=-3600, le=3600, description="s")


class Dropped(Spell):
    """Messages get lost at random."""

    fault: Literal["dropped"]
    sensor: Sensor = Field("lidar", description="whose messages")
    share: float = Field(0.2, ge=0, le=1, description="of the messages")


class Reordered(Spell):
    """Messages overtake each other: some wait until after the next one."""

    fault: Literal["reordered"]
    sensor: Sensor = Field("lidar", description="whose messages")
    share: float = Field(0.2, ge=0, le=1, description="of the messages")


FAULTS: tuple[type[Spell], ...] = (
    *PICTURE_FAULTS, Decalibration, Lag, DeadSector, Late, ClockJump, Dropped, Reordered,
)  # fmt: skip
Fault = Annotated[
    PictureFault | Decalibration | Lag | DeadSector | Late | ClockJump | Dropped | Reordered,
    Field(discriminator="fault"),
]


def right_turn(faults: Sequence[Fault], time: float) -> NDArray[np.float64] | None:
    """(3, 3) rotation of the right camera in its optical axes at ``time``; None: it is in place."""
    turn = None
    for fault in faults:
        if isinstance(fault, Decalibration) and fault.holds(time):
            more = fault.turn(time)
            turn = more if turn is None else np.einsum("ij,jk->ik", turn, more)
    return turn


def right_lag(faults: Sequence[Fault], time: float) -> float:
    """s by which the right shutter is late at ``time``."""
    return sum(f.lag for f in faults if isinstance(f, Lag) and f.holds(time))


def dead_sector(faults: Sequence[Fault], time: float) -> tuple[float, float] | None:
    """Azimuths (rad) between which the lidar is dead at ``time``, or None."""
    for fault in faults:
        if isinstance(fault, DeadSector) and fault.holds(time):
            return float(np.deg2rad(fault.first)), float(np.deg2rad(fault.last))
    return None


def delivery(
    faults: Sequence[Fault], sensor: Sensor, index: int, time: float, period: float, seed: int
) -> tuple[float, float] | None:
    """What becomes of message ``index`` of a sensor, sent at ``time``.

    Returns:
        Delay of its arrival and error of its stamp, s; None: it never arrives.
    """
    delay, jump = 0.0, 0.0
    for number, fault in enumerate(faults):
        if not isinstance(fault, Late | ClockJump | Dropped | Reordered):
            continue
        if fault.sensor != sensor or not fault.holds(time):
            continue
        chance = stream(seed, f"fault {number} {sensor}", index).random()
        if isinstance(fault, Late):
            delay += fault.delay
        elif isinstance(fault, ClockJump):
            jump += fault.jump
        elif isinstance(fault, Dropped) and chance < fault.share:
            return None
        elif isinstance(fault, Reordered) and chance < fault.share:
            delay += 1.5 * period
    return delay, jump
