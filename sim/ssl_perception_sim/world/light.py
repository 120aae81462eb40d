"""Ambient light baked into a mesh: corners and the undersides of things are darker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception_sim.world.mesh import Mesh
from ssl_perception_sim.world.scene import Caster

RAYS = 20


def _hemisphere(count: int) -> NDArray[np.float32]:
    """Cosine-weighted directions about +z on a spiral."""
    k = np.arange(count) + 0.5
    radius, angle = np.sqrt(k / count), k * 2.399963
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return np.c_[flat, np.sqrt(1 - radius**2)].astype(np.float32)


def ambient(mesh: Mesh, caster: Caster, towards: NDArray, reach: float) -> NDArray[np.float32]:
    """(F, 3) share of the sky (or of the room) that each corner of each face sees.

    Args:
        mesh, caster: of the same triangles.
        towards: (3,) m, a point on the side of each face that is lit (the middle of a room).
        reach: m; what is farther away darkens nothing.
    """
    normals = mesh.normals
    centre = mesh.corners.mean(1)
    away = np.einsum("fi,fi->f", normals, np.asarray(towards, np.float32) - centre) < 0
    normals = np.where(away[:, None], -normals, normals)
    helper = np.where(np.abs(normals[:, 2:]) < 0.9, [[0, 0, 1]], [[1, 0, 0]]).astype(np.float32)
    side = np.cross(helper, normals)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    frame = np.stack([side, np.cross(normals, side), normals], 1)  # rows
    directions = np.einsum("ri,fij->frj", _hemisphere(RAYS), frame)
    start = mesh.corners + 0.03 * (centre[:, None] - mesh.corners) + 0.01 * normals[:, None]
    origins = np.repeat(start.reshape(-1, 3), RAYS, axis=0)
    rays = np.repeat(directions[:, None], 3, axis=1).reshape(-1, 3)
    limit = np.full(len(origins), reach, np.float32)
    hit = caster.cast(
        np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(rays, np.float32), limit
    )
    near = np.where(hit["primID"] >= 0, 1.0 - hit["tfar"] / reach, 0.0)
    return (1.0 - 0.75 * near.reshape(-1, 3, RAYS).mean(2)).astype(np.float32)
