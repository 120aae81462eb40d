"""What goes wrong with sensors, as part of a world.

Each fault has a time from which and until which it holds. Camera faults change the pictures, the
truth stays what it is; message faults change stamps and arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ssl_perception.config import Section
from ssl_perception.types import StereoPair
from ssl_perception_sim.world.randomness import stream

Sensor = Literal["camera", "lidar", "odometry"]
Side = Literal["left", "right", "both"]


class Spell(Section):
    """When a fault holds."""

    start: float = Field(0.0, ge=0, le=1e6, description="s, from when")
    end: float = Field(1e6, ge=0, le=1e6, description="s, until when")

    def holds(self, time: float) -> bool:
        """Whether it holds at ``time``, s."""
        return self.start <= time < self.end


class Picture(Spell):
    """The picture is black, one bright tone (blank), or stays what it was (frozen)."""

    fault: Literal["camera_black", "camera_blank", "camera_frozen"]
    side: Side = Field("both", description="which camera")


class Dirt(Spell):
    """Spots on the glass: blurred, dark, at the same place in every picture."""

    fault: Literal["camera_dirt"]
    side: Side = Field("left", description="which camera")
    share: float = Field(0.2, ge=0, le=1, description="of the picture that is covered, about")


class Decalibration(Spell):
    """The right camera has been knocked: it is turned, and camera_info doesn't know."""

    fault: Literal["camera_decalibrated"]
    angle: float = Field(0.5, ge=-10, le=10, description="degrees, about each axis")


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


Fault = Annotated[
    Picture | Dirt | Decalibration | DeadSector | Late | ClockJump | Dropped | Reordered,
    Field(discriminator="fault"),
]


class CameraFaults:
    """Applies the faults of pictures, remembering what a frozen one shows."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self.faults = [f for f in faults if isinstance(f, Picture | Dirt)]
        self.seed = seed
        self._last: dict[str, NDArray[np.uint8]] = {}

    def apply(self, pair: StereoPair) -> StereoPair:
        """The pair as the broken camera gives it."""
        if not self.faults:
            return pair
        images = {"left": pair.left, "right": pair.right}
        for side, image in images.items():
            for fault in self.faults:
                if fault.side in (side, "both") and fault.holds(pair.stamp):
                    image = self._spoil(image, fault, side)
            images[side] = image
            self._last[side] = image
        return replace(pair, left=images["left"], right=images["right"])

    def black(self, side: str, time: float) -> bool:
        """Whether a camera's picture is black at ``time`` whatever it looks at."""
        return any(
            isinstance(f, Picture)
            and f.fault == "camera_black"
            and f.side in (side, "both")
            and f.holds(time)
            for f in self.faults
        )

    def _spoil(self, image: NDArray[np.uint8], fault: Fault, side: str) -> NDArray[np.uint8]:
        if isinstance(fault, Dirt):
            cover = _spots(self.seed, side, image.shape[0], image.shape[1], fault.share)[..., None]
            murky = cv2.GaussianBlur(image, (0, 0), 6.0) * 0.35 + 12.0
            return np.rint(image * (1 - cover) + murky * cover).astype(np.uint8)
        assert isinstance(fault, Picture)
        if fault.fault == "camera_black":
            return np.zeros_like(image)
        if fault.fault == "camera_blank":
            return np.full_like(image, 200)
        return self._last.get(side, image)


def _spots(seed: int, side: str, height: int, width: int, share: float) -> NDArray[np.float32]:
    """(H, W) how much of the light each spot of dirt takes away, 0 to 1."""
    rng = stream(seed, "dirt " + side)
    field = cv2.GaussianBlur(
        rng.standard_normal((height, width), dtype=np.float32), (0, 0), height / 16
    )
    level = np.quantile(field, 1 - share) if share < 1 else field.min()
    return np.clip((field - level) / (0.3 * field.std()) + 0.5, 0, 1).astype(np.float32)


def decalibration(faults: Sequence[Fault], time: float) -> float:
    """rad, by which the right camera is turned at ``time``."""
    angle = sum(f.angle for f in faults if isinstance(f, Decalibration) and f.holds(time))
    return float(np.deg2rad(angle))


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
        if isinstance(fault, Picture | Dirt | Decalibration | DeadSector):
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
