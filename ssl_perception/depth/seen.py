"""Depth where a rectified image shows nothing: none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ssl_perception.types import BoolArray, DepthMap

_WHOLLY = 0.999  # share of a cell; less than 1 for rounding


def only_seen(depth: DepthMap, seen: BoolArray | None) -> DepthMap:
    """The same depth, unknown where the raw image shows nothing.

    Rectifying leaves corners black that the lens never saw. What a matcher or a student says of
    them is made up.

    Args:
        depth: of the whole image, with any number of pixels.
        seen: (H, W) bool, pixels of the image; None: the raw image shows them all.
    """
    if seen is None:
        return depth
    height, width = depth.depth.shape
    share = cv2.resize(seen.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    known = share >= _WHOLLY
    confidence = depth.confidence
    return replace(
        depth,
        depth=np.where(known, depth.depth, np.float32(np.nan)),
        confidence=None if confidence is None else np.where(known, confidence, np.float32(0.0)),
    )
