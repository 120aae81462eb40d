"""A depth camera as teacher: its depth image aligned with the colour image, and the gate that says
when not to trust it."""

from __future__ import annotations

import numpy as np

from ssl_perception.config import DepthCameraConfig
from ssl_perception.depth.frozen_image import FrozenImage, frozen_reason
from ssl_perception.types import CameraImage, Cue, DepthMap, StereoPair


class DepthCamera:
    """Depth as it was measured, where it lies within the sensor's range.

    It remembers the previous image and depth image, to notice a camera that has frozen: each frame
    must come with its own stamp, and in the order of time.
    """

    def __init__(self, options: DepthCameraConfig | None = None) -> None:
        self.options = options or DepthCameraConfig()
        self._image, self._depth = FrozenImage(), FrozenImage()

    def depth(self, frame: StereoPair | CameraImage) -> DepthMap:
        """Depth of each pixel of the image; NaN where it isn't known or out of range.

        Confidence is 1 wherever there is depth.
        """
        shape = (frame.camera.height, frame.camera.width)
        measured = frame.depth if isinstance(frame, CameraImage) else None
        depth = np.full(shape, np.nan, np.float32)
        frozen = ["left"] if self._image.repeats(frame.image, frame.stamp) else []
        if measured is None:
            reason = "no depth image of this image"
        else:
            known = np.isfinite(measured) & (measured > 0)
            in_range = known & (measured >= self.options.min_depth)
            in_range &= measured <= self.options.max_depth
            depth[in_range] = measured[in_range]
            bits = np.ascontiguousarray(measured).view(np.uint8)
            frozen += ["depth"] if self._depth.repeats(bits, frame.stamp) else []
            reason = self._verdict(float(known.mean()), float(in_range.mean()), frozen)
        confidence = np.isfinite(depth).astype(np.float32)
        return DepthMap(
            depth, frame.camera, frame.stamp, Cue.DEPTH, not reason, reason, confidence=confidence
        )

    def _verdict(self, known: float, in_range: float, frozen: list[str]) -> str:
        options = self.options
        if in_range < options.min_known:
            outside = f" ({known:.0%} out of range as well)" if known > in_range else ""
            return (
                f"too few known pixels: {in_range:.0%} of the image{outside}, "
                f"{options.min_known:.0%} asked"
            )
        return frozen_reason(*frozen)
