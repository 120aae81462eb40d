"""Visibility: the nearest return in each direction, and what it occludes."""

from __future__ import annotations

from math import pi
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.numba_kernel import kernel

COLUMNS = 900  # 0.4 degrees
ROW_ANGLE = 0.0125  # rad
ROWS = int(pi / ROW_ANGLE) + 2  # the whole sphere
_NOTHING = np.float32(np.inf)


class RangeImage(NamedTuple):
    """Nearest return per direction, seen from ``origin`` (3,); ``nearest`` (COLUMNS, ROWS), m.

    Infinite where nothing returned. Ground was removed before, so it occludes nothing. Nothing is
    seen nearer than ``blind``, m: the sensor's own limit, or what was cut out around the robot.
    """

    origin: NDArray[np.float32]
    nearest: NDArray[np.float32]
    blind: float


def range_image(
    points: NDArray[np.float32], origin: NDArray[np.float32], workspace: Workspace, name: str
) -> RangeImage:
    """Range image of (N, 3) points."""
    nearest = workspace.array(f"{name}.nearest", (COLUMNS, ROWS), np.float32)
    return RangeImage(origin, nearest, _render(points, origin, nearest))


@kernel
def arctan(y: np.float32, x: np.float32) -> np.float32:
    """atan2 to 1e-4 rad (a hundredth of a cell), several times faster than the library's."""
    ax, ay = abs(x), abs(y)
    small, large = min(ax, ay), max(ax, ay)
    a = small / max(large, np.float32(1e-12))
    s = a * a
    # Abramowitz and Stegun 4.4.49, odd polynomial on [0, 1].
    r = a * (
        np.float32(0.9998660)
        + s
        * (
            np.float32(-0.3302995)
            + s * (np.float32(0.1801410) + s * (np.float32(-0.0851330) + s * np.float32(0.0208351)))
        )
    )
    if ay > ax:
        r = np.float32(0.5 * pi) - r
    if x < 0:
        r = np.float32(pi) - r
    return -r if y < 0 else r


@kernel
def direction(x: np.float32, y: np.float32, z: np.float32) -> tuple[int, int]:
    """Column and row of a direction."""
    azimuth = arctan(y, x)
    elevation = arctan(z, np.sqrt(x * x + y * y))
    column = int((azimuth + np.float32(pi)) * np.float32(COLUMNS / (2 * pi)))
    row = int((elevation + np.float32(0.5 * pi)) * np.float32(1.0 / ROW_ANGLE))
    return min(max(column, 0), COLUMNS - 1), min(max(row, 0), ROWS - 1)


@kernel
def _render(
    points: NDArray[np.float32], origin: NDArray[np.float32], nearest: NDArray[np.float32]
) -> float:
    """Fill the image. Returns the distance of the nearest return of all."""
    nearest[:] = _NOTHING
    least = _NOTHING
    for p in range(len(points)):
        x, y, z = points[p, 0] - origin[0], points[p, 1] - origin[1], points[p, 2] - origin[2]
        distance = np.sqrt(x * x + y * y + z * z)
        column, row = direction(x, y, z)
        nearest[column, row] = min(nearest[column, row], distance)
        least = min(least, distance)
    return float(least)


@kernel
def occluded(image: RangeImage, x: np.float32, y: np.float32, z: np.float32) -> bool:
    """Whether (x, y, z) can't be seen from ``image.origin``: too near, or a return before it.

    Any of the 3 x 3 directions around counts (azimuth wraps), if nearer by 0.5 m and 3 %.
    """
    x -= image.origin[0]
    y -= image.origin[1]
    z -= image.origin[2]
    distance = np.sqrt(x * x + y * y + z * z)
    if distance < image.blind:
        return True
    before = distance - max(np.float32(0.5), np.float32(0.03) * distance)
    column, row = direction(x, y, z)
    for dc in range(-1, 2):
        c = column + dc
        c = c + COLUMNS if c < 0 else (c - COLUMNS if c >= COLUMNS else c)
        for r in range(max(row - 1, 0), min(row + 2, ROWS)):
            if image.nearest[c, r] < before:
                return True
    return False


@kernel
def find_novel(
    centroid: NDArray[np.float32],
    matched: NDArray[np.int32],
    image: RangeImage,
    novel: NDArray[np.bool_],
) -> None:
    """Novel: unmatched, though the other sensor position would have seen it. (V,) bool, written."""
    for v in range(len(centroid)):
        novel[v] = matched[v] < 0 and not occluded(
            image, centroid[v, 0], centroid[v, 1], centroid[v, 2]
        )
