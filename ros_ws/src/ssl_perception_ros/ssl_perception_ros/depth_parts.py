"""What a depth node publishes about one image, put together again: depth, confidence, status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo

from ssl_perception.io import images
from ssl_perception.io.camera_info import camera_model
from ssl_perception.io.cue_status import CueStatus
from ssl_perception.types import CameraModel, Cue, DepthMap


def depth_map(
    parts: Mapping[str, Any],
    cue: Cue,
    info: CameraInfo | None,
    stamp_ns: int,
    source: Cue | None = None,
) -> DepthMap | None:
    """The depth map that was published, confidence and verdict included; None: no depth image.

    A depth image of another publisher may come without confidence and status: then it is
    confident wherever it is known, and valid if it is known anywhere.

    Args:
        parts: messages of one stamp by topic, such as ``stereo/depth``.
        cue: whose topics to take.
        info: of the depth image's camera; None: of a camera that is not known.
        source: the sensor behind those topics where no status says; None: ``cue`` itself.

    Raises:
        InputError: a message that can't be used.
    """
    name = cue.value
    message = parts.get(f"{name}/depth")
    if message is None:
        return None
    values = images.decode_depth(message)
    height, width = values.shape
    unknown_camera = CameraModel(width, height, 1.0, 1.0, 0.0, 0.0, message.header.frame_id)
    camera = unknown_camera if info is None else camera_model(info)
    known = bool(np.isfinite(values).any())
    confidence = parts.get(f"{name}/confidence")
    depth = DepthMap(
        values,
        camera,
        stamp_ns * 1e-9,
        source or cue,
        valid=known,
        reason="" if known else f"{name} knows no depth in the whole image",
        confidence=None if confidence is None else images.decode_confidence(confidence),
    )
    status = parts.get(f"{name}/status")
    if status is None or not status.status:
        return depth
    told = {pair.key: pair.value for pair in status.status[0].values}
    return CueStatus.parse(told).apply(depth)


def teacher_suspect(parts: Mapping[str, Any]) -> bool:
    """Whether ``trust`` said of this image that stereo has parted from a student that knows this
    place; False where nobody said anything."""
    message = parts.get("trust")
    if message is None or not message.status:
        return False
    told = {pair.key: pair.value for pair in message.status[0].values}
    return told.get("teacher_suspect") == "true"
