"""Free space: where the beams of a sweep ended, and what they passed through.

A beam that ends at a wall proves that the space before the wall is free. The beams around the
direction of a position classify it:

* OCCUPIED: a beam ended here,
* FREE: the beams above, below and at the position all ended well beyond it,
* HIDDEN: a beam ended well before it,
* UNKNOWN: too few beams in this direction, or they disagree.

Ground returns count like all others. A beam without return proves nothing: black paint, glass
and the sky look alike.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.visibility import arctan
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import FloatArray

OCCUPIED, FREE, HIDDEN, UNKNOWN = 0, 1, 2, 3

COLUMNS = 1200  # 0.3 degrees
MIN_ROW_ANGLE = 0.0087  # rad, half a degree
MAX_ROW_ANGLE = 0.05  # rad
MIN_KNOWN = 4  # of the 3 x 3 directions around a position
_HIT, _HIT_PER_RANGE = 0.2, 0.005  # m: a beam ended here ...
_CLEAR, _CLEAR_PER_RANGE = 0.4, 0.03  # ... or well before or beyond


class BeamImage(NamedTuple):
    """Where the beams of one sweep ended, seen from the sensor.

    Attributes:
        near, far: (COLUMNS, rows) float32, least and greatest range per direction, metres; inf
            and 0 where nothing returned.
        row_angle: radians per row; rows start straight down.
    """

    near: NDArray[np.float32]
    far: NDArray[np.float32]
    row_angle: float


def empty_image(row_angle: float) -> BeamImage:
    """Room for a sweep."""
    shape = (COLUMNS, int(pi / row_angle) + 2)
    return BeamImage(np.empty(shape, np.float32), np.empty(shape, np.float32), row_angle)


def beam_spacing(points: FloatArray) -> float:
    """Angle between neighbouring beams of one column, radians, kept within what rows may have.

    Args:
        points: (N, 3), seen from the sensor.
    """
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    column = ((azimuth + pi) * (COLUMNS / (2 * pi))).astype(np.int32)
    some = column % 16 == 0
    elevation = np.arctan2(points[some, 2], np.hypot(points[some, 0], points[some, 1]))
    order = np.lexsort((elevation, column[some]))
    gap = np.diff(elevation[order])[np.diff(column[some][order]) == 0]
    gap = gap[gap > 1e-3]  # nearer is the same beam, met twice
    spacing = float(np.median(gap)) if len(gap) else MAX_ROW_ANGLE
    return min(max(spacing, MIN_ROW_ANGLE), MAX_ROW_ANGLE)


@kernel
def render(points: FloatArray, image: BeamImage) -> None:
    """Fill ``image`` with (N, 3) points, seen from the sensor."""
    image.near[:] = np.float32(np.inf)
    image.far[:] = np.float32(0.0)
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        distance = np.sqrt(x * x + y * y + z * z)
        column, row = _direction(x, y, z, image.row_angle)
        image.near[column, row] = min(image.near[column, row], distance)
        image.far[column, row] = max(image.far[column, row], distance)


@kernel
def _direction(x: float, y: float, z: float, row_angle: float) -> tuple[int, int]:
    azimuth = arctan(y, x)
    elevation = arctan(z, np.sqrt(x * x + y * y))
    column = int((azimuth + np.float32(pi)) * np.float32(COLUMNS / (2 * pi)))
    row = int((elevation + np.float32(0.5 * pi)) / np.float32(row_angle))
    return min(max(column, 0), COLUMNS - 1), max(row, 0)


@kernel
def classify(image: BeamImage, x: float, y: float, z: float) -> int:
    """OCCUPIED, FREE, HIDDEN or UNKNOWN: the position (x, y, z), seen from the sensor, metres."""
    distance = np.sqrt(x * x + y * y + z * z)
    column, row = _direction(x, y, z, image.row_angle)
    hit = _HIT + _HIT_PER_RANGE * distance
    clear = max(_CLEAR, _CLEAR_PER_RANGE * distance)
    known = 0
    hidden = above = below = False
    beyond = True
    for dr in range(-1, 2):
        if row + dr < 0 or row + dr >= image.near.shape[1]:
            continue
        for dc in range(-1, 2):
            c = column + dc
            c = c + COLUMNS if c < 0 else (c - COLUMNS if c >= COLUMNS else c)
            near, far = image.near[c, row + dr], image.far[c, row + dr]
            if far == 0.0:
                continue
            if abs(near - distance) < hit or abs(far - distance) < hit:
                return OCCUPIED
            known += 1
            hidden = hidden or near < distance - clear
            beyond = beyond and near > distance + clear
            below = below or dr <= 0
            above = above or dr >= 0
    if hidden:
        return HIDDEN
    if beyond and above and below and known >= MIN_KNOWN:
        return FREE
    return UNKNOWN
