"""What goes wrong with the pictures of a stereo camera, once the light has fallen on the chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ssl_perception.types import StereoPair
from ssl_perception_sim.sensors.spell import Spell
from ssl_perception_sim.world.randomness import stream

Image = NDArray[np.uint8]
Side = Literal["left", "right", "both"]


class Picture(Spell):
    """The picture is black, one bright tone (blank), or stays what it was (frozen)."""

    fault: Literal["camera_black", "camera_blank", "camera_frozen"]
    side: Side = Field("both", description="which camera")


class Dirt(Spell):
    """Spots on the glass: blurred, dark, at the same place in every picture."""

    fault: Literal["camera_dirt"] = "camera_dirt"
    side: Side = Field("left", description="which camera")
    share: float = Field(0.2, ge=0, le=1, description="of the picture that is covered, about")


class Gain(Spell):
    """One camera's gain has come loose from the other's."""

    fault: Literal["camera_gain"] = "camera_gain"
    side: Side = Field("right", description="which camera")
    factor: float = Field(2.0, ge=0, le=100, description="of the brightness")


class Blur(Spell):
    """Out of focus."""

    fault: Literal["camera_blur"] = "camera_blur"
    side: Side = Field("left", description="which camera")
    sigma: float = Field(5.0, gt=0, le=100, description="px")


class Night(Spell):
    """The light is out: 4 % of it is left, and the chip's noise."""

    fault: Literal["camera_night"] = "camera_night"
    side: Side = Field("both", description="which camera")


class Swapped(Spell):
    """The left camera's cable is in the right one's socket."""

    fault: Literal["cameras_swapped"] = "cameras_swapped"


PictureFault = Picture | Dirt | Gain | Blur | Night | Swapped
PICTURE_FAULTS = get_args(PictureFault)


class CameraFaults:
    """Applies them, remembering what a frozen picture shows.

    Args:
        faults: others than these are passed over.
        seed: of the dirt and the noise.
        before: what the camera showed until now; None: nothing.
    """

    def __init__(
        self, faults: Sequence[object], seed: int, before: CameraFaults | None = None
    ) -> None:
        self.faults = [fault for fault in faults if isinstance(fault, PICTURE_FAULTS)]
        self.seed = seed
        self._last: dict[str, Image] = {} if before is None else dict(before._last)

    def apply(self, pair: StereoPair) -> StereoPair:
        """The pair as the broken camera gives it."""
        images = {"left": pair.left, "right": pair.right}
        for side in images:
            for fault in self.faults:
                if isinstance(fault, Swapped) or fault.side not in (side, "both"):
                    continue
                if fault.holds(pair.stamp):
                    images[side] = self._spoil(images[side], fault, side, pair.stamp)
        self._last = dict(images)
        left, right = images["left"], images["right"]
        if any(isinstance(f, Swapped) and f.holds(pair.stamp) for f in self.faults):
            left, right = right, left
        if left is pair.left and right is pair.right:
            return pair
        return replace(pair, left=left, right=right)

    def black(self, side: str, time: float) -> bool:
        """Whether a camera's picture is black at ``time`` whatever it looks at."""
        return any(
            isinstance(f, Picture)
            and f.fault == "camera_black"
            and f.side in (side, "both")
            and f.holds(time)
            for f in self.faults
        )

    def _spoil(self, image: Image, fault: PictureFault, side: str, time: float) -> Image:
        if isinstance(fault, Dirt):
            cover = _spots(self.seed, side, image.shape[0], image.shape[1], fault.share)
            cover = cover if image.ndim == 2 else cover[..., None]
            murky = cv2.GaussianBlur(image, (0, 0), 6.0) * 0.35 + 12.0
            return np.rint(image * (1 - cover) + murky * cover).astype(np.uint8)
        if isinstance(fault, Gain):
            return np.clip(image * fault.factor, 0, 255).astype(np.uint8)
        if isinstance(fault, Blur):
            return np.asarray(cv2.GaussianBlur(image, (0, 0), fault.sigma), np.uint8)
        if isinstance(fault, Night):
            rng = stream(self.seed, "night " + side, round(time * 1e6))
            noisy = image * 0.04 + rng.normal(2.0, 3.0, image.shape)
            return np.clip(noisy, 0, 255).astype(np.uint8)
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
