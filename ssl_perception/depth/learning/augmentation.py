"""Views that were never seen, from ones that were: nearer, and of other light and colours."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import FloatArray

ZOOM_SHARE, ZOOM = 0.35, 2.0


def nearer(
    image: NDArray[np.uint8], label: FloatArray, factor: float, across: float, down: float
) -> tuple[NDArray[np.uint8], FloatArray]:
    """The frame as if everything in it were nearer: a part of it, enlarged, its depths divided.

    A robot that turns away at a metre never sees what is at half a metre, and its student calls it
    a metre away. An enlarged part of a picture is what a nearer camera would see, but for the
    perspective within it.

    Args:
        factor: how much nearer.
        across, down: where the part lies, from left (0) to right (1), from top to bottom.
    """
    scale = 1.0 / factor

    def cut(array: NDArray, interpolation: int) -> NDArray:
        height, width = array.shape[:2]
        # pixel centres: half a pixel of the part is `scale` times half a pixel of the picture
        left, top = (
            share * length * (1.0 - scale) + 0.5 * scale - 0.5
            for share, length in ((across, width), (down, height))
        )
        back = np.array([[scale, 0.0, left], [0.0, scale, top]])
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(
            array, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )

    depth = cut(label, cv2.INTER_NEAREST)  # NaN stays where it was
    return cut(image, cv2.INTER_LINEAR), depth - np.float32(math.log(factor))


def augment(
    images: NDArray[np.uint8], labels: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mirrored, enlarged, of other gain, contrast, colour, noise and sharpness; grey; inverted.

    Args:
        images: (B, height, width, 3). labels: (B, rows, columns) log depth. Neither is changed.
    """
    images, labels = images.copy(), labels.copy()
    count = len(images)
    mirrored = rng.random(count) < 0.5
    images[mirrored] = images[mirrored, :, ::-1]
    labels[mirrored] = labels[mirrored, :, ::-1]
    for k in range(count):
        image = images[k]
        if rng.random() < ZOOM_SHARE:
            factor = math.exp(rng.uniform(0.0, math.log(ZOOM)))
            image, labels[k] = nearer(image, labels[k], factor, rng.random(), rng.random())
        if rng.random() < 0.2:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        elif rng.random() < 0.5:
            image = image[..., rng.permutation(3)]
        image = cv2.LUT(np.ascontiguousarray(image), _tone_curve(image.mean(), rng))
        if rng.random() < 0.3:
            image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.2)))
        grain = _grain(*image.shape[:2])
        row = int(rng.integers(0, len(grain) - len(image)))
        noisy = image + np.float32(rng.uniform(0.0, 6.0)) * grain[row : row + len(image)]
        images[k] = np.clip(noisy + 0.5, 0.0, 255.0)
    return images, labels


@cache
def _grain(height: int, width: int) -> NDArray[np.float32]:
    """(4 height, width, 3): noise, drawn once, from which each image takes a part."""
    return np.random.default_rng(0).standard_normal((4 * height, width, 3), np.float32)


def _tone_curve(mean: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(1, 256, 3): what becomes of each grey level in each channel."""
    level = np.repeat(np.arange(256.0)[:, None], 3, axis=1)
    if rng.random() < 0.15:
        level, mean = 255.0 - level, 255.0 - mean
    level = (level - mean) * rng.uniform(0.5, 1.3) + mean
    level *= rng.uniform(0.6, 1.4) * rng.uniform(0.85, 1.15, 3)
    level = 255.0 * (np.clip(level, 0.0, 255.0) / 255.0) ** rng.uniform(0.7, 1.4)
    return np.rint(level).astype(np.uint8)[None]
