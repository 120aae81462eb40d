"""Which lidar points the camera sees: those that nothing nearer hides.

A lidar that is mounted elsewhere looks over and past what hides a point from the camera, and
between its beams there is room: a far point then falls onto the picture of something near. So each
point is compared with the nearer ones around its ray. One of them hides it if its direction lies
within ``beam_gap`` (between two beams that meet one surface there is no more room than that) and
inside a cone about the ray with its apex at the point (the visibility cone of Pintus et al.,
VAST 2011): the ground towards the horizon is nearer below each of its points, too, but leaves the
ray at its slope. So what is seen close beside the outline of something near is left out as well:
a label may be too near there, not too far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import BoolArray, FloatArray

_CONE = 4.0  # its half angle's tangent, in beam gaps
_THICKNESS = 0.05  # a surface's points differ by so large a share of their depth
_REACH = 3  # cells of the search grid in a beam gap


def visible(points: FloatArray, beam_gap: float) -> BoolArray:
    """(N,) which points the camera sees past the others.

    Args:
        points: (N, 3) metres in the camera's optical frame, all before it (z > 0).
        beam_gap: rad between neighbouring beams, the largest.
    """
    if len(points) == 0:
        return np.ones(0, np.bool_)
    z = points[:, 2]
    x, y = points[:, 0] / z, points[:, 1] / z
    column, row = (_cell(axis, beam_gap / _REACH) for axis in (x, y))
    width = int(column.max()) + 1 + _REACH
    place = row * width + column
    # of each cell the nearest point: the last one written stays
    nearest = np.argsort(-z, kind="stable")
    empty = (int(row.max()) + 1 + _REACH) * width
    grid = np.full((3, empty), np.inf, np.float32)
    grid[:, place[nearest]] = x[nearest], y[nearest], z[nearest]
    steps = range(-_REACH, _REACH + 1)
    hidden = np.zeros(len(points), np.bool_)
    for step in (down * width + across for down in steps for across in steps):
        beside_x, beside_y, depth = grid[:, place + step]
        nearer = z - depth  # -inf where the cell is empty
        with np.errstate(invalid="ignore"):
            aside = np.sqrt((beside_x - x) ** 2 + (beside_y - y) ** 2)
            hides = (nearer > _THICKNESS * depth) & (aside <= beam_gap)
            hides &= aside * depth < _CONE * beam_gap * nearer
        hidden |= hides
    return ~hidden


def _cell(angle: FloatArray, size: float) -> NDArray[np.int64]:
    """(N,) number of the cell, ``_REACH`` for the lowest."""
    return np.floor((angle - angle.min()) / size).astype(np.int64) + _REACH
