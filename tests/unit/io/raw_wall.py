"""A wall of random texture, seen by a stereo camera with lenses of its own; its calibration."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_perception.types import CameraModel
from tests.unit.io.camera_messages import info_message

WALL, BASELINE = 1.9, 0.12  # 12 px: between whole pixels the matcher itself is 0.2 px off
WIDE = CameraModel(320, 240, 190.0, 190.0, 160.0, 120.0, "optical")
K = np.array([[200.0, 0, 155], [0, 205, 124], [0, 0, 1]])
TURNS = {
    "left": Rotation.from_euler("xyz", [0.02, -0.03, 0.01]).as_matrix(),
    "right": Rotation.from_euler("xyz", [-0.01, 0.02, -0.015]).as_matrix(),
}
LENSES = {
    "plumb_bob": [-0.28, 0.08, 0.001, -0.0005, 0.0],
    "rational_polynomial": [-0.2, 0.05, 0.0005, 0.001, 0.001, 0.05, 0.01, 0.0],
    "equidistant": [0.03, -0.01, 0.004, -0.001],
}
PAPER = cv2.resize(
    np.random.default_rng(3).integers(0, 256, (256, 256), np.uint8), None, fx=2, fy=2
).astype(np.float32)


def photograph(lens: str, side: str) -> NDArray[np.uint8]:
    """What a raw camera sees of the wall: the ray of each pixel, through the lens, onto it."""
    u, v = np.meshgrid(np.arange(320.0), np.arange(240.0))
    pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
    d = np.array(LENSES[lens])
    undistort = cv2.fisheye.undistortPoints if lens == "equidistant" else cv2.undistortPoints
    plane = undistort(pixels, K, d).reshape(-1, 2)
    rays = np.column_stack([plane, np.ones(len(plane))]) @ TURNS[side].T
    at = rays[:, :2] / rays[:, 2:] * WALL
    if side == "right":
        at[:, 0] += BASELINE
    where = (at * 130 + 250).astype(np.float32).reshape(240, 320, 2)
    seen = cv2.remap(PAPER, where[..., 0], where[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
    return np.asarray(np.rint(seen), np.uint8)


def raw_info(lens: str, side: str) -> Any:
    shift = -WIDE.fx * BASELINE if side == "right" else 0.0
    turn = TURNS[side].reshape(-1)
    d = LENSES[lens]
    return info_message(WIDE, shift, distortion_model=lens, d=d, k=K.reshape(-1), r=turn)
