"""The depth image of a tilted camera as a level one in its place would give it.

Both see along the same rays, so a pixel of the level camera is a pixel of the tilted one, and only
depth, measured along another axis, changes:

    d' = R d,    t = depth / d_z

for the level camera's ray ``d'`` with ``d'_z = 1``, the same ray ``d`` in the tilted camera's axes,
and ``t`` the level camera's depth.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ssl_perception.frames import BODY_FROM_OPTICAL
from ssl_perception.types import BoolArray, CameraModel, DepthMap, FloatArray


def level_depth(depth: DepthMap, pitch: float, roll: float) -> DepthMap:
    """What a camera that looks horizontally would see from the same place.

    Args:
        depth: of the tilted camera.
        pitch: rad, positive looks down.
        roll: rad, positive leans to the right.

    Returns:
        A map of the same camera model; NaN where the tilted camera doesn't look. Confidence is
        left out.
    """
    columns, rows, scale = _maps(depth.camera, pitch, roll)
    seen = cv2.remap(
        depth.depth, columns, rows, cv2.INTER_NEAREST, None, cv2.BORDER_CONSTANT, float("nan")
    )
    return replace(depth, depth=(seen * scale).astype(np.float32), confidence=None)


def seen_level(camera: CameraModel, pitch: float, roll: float) -> BoolArray:
    """(H, W): which pixels of the level camera the tilted one sees; see ``level_depth``."""
    columns, rows, _ = _maps(camera, pitch, roll)
    inside = (columns >= -0.5) & (columns <= camera.width - 0.5)
    return inside & (rows >= -0.5) & (rows <= camera.height - 0.5)


@lru_cache(maxsize=16)
def _maps(camera: CameraModel, pitch: float, roll: float) -> tuple[FloatArray, ...]:
    """Per pixel of the level camera, each (H, W): column and row of the tilted one; depth in the
    level camera per metre of depth in the tilted one."""
    level_from_tilted = Rotation.from_euler("xyz", [roll, pitch, 0.0]).as_matrix()
    body_from_optical = BODY_FROM_OPTICAL[:3, :3]
    turn = body_from_optical.T @ level_from_tilted @ body_from_optical
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack(
        [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1
    )
    x, y, z = np.moveaxis(rays @ turn, -1, 0)  # turn.T applied to each ray
    ahead = z > 1e-6
    safe = np.where(ahead, z, 1.0)
    columns = np.where(ahead, camera.fx * x / safe + camera.cx, -10.0)
    rows = np.where(ahead, camera.fy * y / safe + camera.cy, -10.0)
    return tuple(np.asarray(part, np.float32) for part in (columns, rows, 1.0 / safe))
