"""A camera that has stopped: it delivers the same picture again under a new stamp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PROBE_STEP = 32  # rows; these are compared first


class FrozenImage:
    """Notices that one camera's image is bit-identical to the one before it.

    Sensor noise makes two images of a still scene differ, so a repeated image is a driver,
    a bus or a decoder that hands out the last one again; what it shows may be long gone.

    It keeps a copy of the image: a caller may read the next one into the same memory.
    """

    def __init__(self) -> None:
        self._image: NDArray[np.uint8] | None = None
        self._stamp = 0.0
        self._repeated = False

    def repeats(self, image: NDArray[np.uint8], stamp: float) -> bool:
        """Whether this image is the previous one to the last bit, under another stamp.

        The previous stamp again is the previous frame asked about once more: if the image is the
        same, so is the answer. An image of another shape is never a repeat.

        Args:
            image: (H, W) or (H, W, 3); of a sensor that measures in floating point, its bytes.
            stamp: seconds.
        """
        if self._image is None or not _identical(self._image, image):
            self._repeated = False
            if self._image is None or self._image.shape != image.shape:
                self._image = image.copy()
            else:
                np.copyto(self._image, image)
        elif stamp != self._stamp:
            self._repeated = True
        self._stamp = stamp
        return self._repeated


def _identical(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """``np.array_equal``, but images that differ, as nearly all do, cost a few rows only."""
    if one.shape != other.shape:
        return False
    probe = slice(None, None, _PROBE_STEP)
    return bool((one[probe] == other[probe]).all()) and np.array_equal(one, other)


def frozen_reason(*sides: str) -> str:
    """Why a depth map made from these cameras' images is invalid; empty without sides."""
    if not sides:
        return ""
    images = "image" if len(sides) == 1 else "images"
    return f"{' and '.join(sides)} {images} frozen: bit-identical to the previous frame"
