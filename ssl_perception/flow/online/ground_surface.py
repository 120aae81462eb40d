"""The surface that the ground spans, seen from above.

Patchwork++ fits a plane to each patch of its polar grid, and drops a whole patch in which something
stands: one sector wide and several metres long, most of which is road. Left over, its rings would
be obstacles, and would move with whatever moves there. So the heights of the ground found are kept
in a grid, cells without any are filled in from those around them, and what lies on that surface is
ground as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray

CELL = 1.0  # m
REACH = 60.0  # m: half the side of the grid
FILL = 4  # cells that the surface goes on into where there is no ground
ABOVE = 0.12  # m above the surface that still count as ground: rough asphalt, sensor noise
STEP = 0.6  # m between a cell and the median of those around it: more is a mirror image
BELOW = 0.3  # m below it; what lies deeper is a pit or a mirror image
LOW = 0.3  # m above the ground: kerbs, and what a ground ring may lie at
COLUMN = 0.3  # m, edge of the cells in which something stands above a low point
STANDING, FLAT, BURIED = 0, 1, 2
_SIDE = int(2 * REACH / CELL)

GroundSurface = NDArray[np.float32]  # (_SIDE, _SIDE) heights at the cells' middles, m; NaN: none


def fit_surface(points: FloatArray, ground: BoolArray) -> GroundSurface:
    """The surface through the ground points; (N, 3) seen from the sensor, z up, and (N,)."""
    height = _without_outliers(_mean_heights(points, ground))
    for _ in range(FILL):
        height = _fill(height)
    return height


@kernel
def mark_ground(points: FloatArray, surface: GroundSurface, ground: BoolArray) -> None:
    """Mark in ``ground`` (N,) the points that lie on the surface, too."""
    for p in range(len(points)):
        if not ground[p]:
            height = _height_above(surface, points[p, 0], points[p, 1], points[p, 2])
            ground[p] = -BELOW < height < ABOVE


@kernel
def find_standing(points: FloatArray, surface: GroundSurface, stands: BoolArray) -> int:
    """Which points of an object belong to something that stands on the ground.

    A low point does if the object has a higher one above it, give or take a cell. One without is
    ground beside the object.

    Args:
        points: (n, 3) of the object, seen from the sensor.
        surface: of the ground.
        stands: (n,) all True; set to False for points that don't.

    Returns:
        STANDING; FLAT, and nothing set: all points are low; BURIED, and nothing set: most lie below
        the ground.
    """
    low = np.zeros(len(points), np.bool_)
    lows = buried = 0
    left = back = np.float32(np.inf)
    right = front = np.float32(-np.inf)
    for p in range(len(points)):
        height = _height_above(surface, points[p, 0], points[p, 1], points[p, 2])
        low[p] = height < LOW
        lows += low[p]
        buried += height < -BELOW
        back, front = min(back, points[p, 0]), max(front, points[p, 0])
        left, right = min(left, points[p, 1]), max(right, points[p, 1])
    if 2 * buried > len(points):
        return BURIED
    if lows == len(points):
        return FLAT
    if lows == 0:
        return STANDING
    above = np.zeros((int((front - back) / COLUMN) + 3, int((right - left) / COLUMN) + 3), np.bool_)
    for p in range(len(points)):
        if not low[p]:
            i, j = int((points[p, 0] - back) / COLUMN), int((points[p, 1] - left) / COLUMN)
            above[i : i + 3, j : j + 3] = True  # one cell of margin on every side
    for p in range(len(points)):
        if low[p]:
            i, j = int((points[p, 0] - back) / COLUMN), int((points[p, 1] - left) / COLUMN)
            stands[p] = above[i + 1, j + 1]
    return STANDING


@kernel
def heights_above(surface: GroundSurface, points: FloatArray) -> NDArray[np.float32]:
    """(N, 3) points -> (N,) heights above the surface, m; NaN where there is none."""
    heights = np.empty(len(points), np.float32)
    for p in range(len(points)):
        heights[p] = _height_above(surface, points[p, 0], points[p, 1], points[p, 2])
    return heights


@kernel
def _height_above(surface: GroundSurface, x: float, y: float, z: float) -> float:
    """Interpolated between the four cells around, as far as they have a height."""
    u, v = (x + REACH) / CELL - 0.5, (y + REACH) / CELL - 0.5
    i, j = int(np.floor(u)), int(np.floor(v))
    if not (0 <= i < _SIDE - 1 and 0 <= j < _SIDE - 1):
        return np.nan
    total = weights = 0.0
    for a in range(2):
        for b in range(2):
            if not np.isnan(surface[i + a, j + b]):
                weight = (1.0 - abs(u - i - a)) * (1.0 - abs(v - j - b))
                total += weight * surface[i + a, j + b]
                weights += weight
    return z - total / weights if weights > 0.0 else np.nan


@kernel
def _mean_heights(points: FloatArray, ground: BoolArray) -> GroundSurface:
    total = np.zeros((_SIDE, _SIDE), np.float32)
    count = np.zeros((_SIDE, _SIDE), np.int32)
    for p in range(len(points)):
        i = int(np.floor((points[p, 0] + REACH) / CELL))
        j = int(np.floor((points[p, 1] + REACH) / CELL))
        if ground[p] and 0 <= i < _SIDE and 0 <= j < _SIDE:
            total[i, j] += points[p, 2]
            count[i, j] += 1
    for i in range(_SIDE):
        for j in range(_SIDE):
            total[i, j] = total[i, j] / count[i, j] if count[i, j] else np.float32(np.nan)
    return total


@kernel
def _without_outliers(surface: GroundSurface) -> GroundSurface:
    """Leave out the cells far above or below most of the 24 around them: the ground's mirror images
    in puddles and car bodies are found as ground, too."""
    kept = surface.copy()
    around = np.empty(24, np.float32)
    for i in range(_SIDE):
        for j in range(_SIDE):
            if np.isnan(surface[i, j]):
                continue
            known = 0
            total = 0.0
            for a in range(max(i - 2, 0), min(i + 3, _SIDE)):
                for b in range(max(j - 2, 0), min(j + 3, _SIDE)):
                    if (a != i or b != j) and not np.isnan(surface[a, b]):
                        around[known] = surface[a, b]
                        total += surface[a, b]
                        known += 1
            # the mean is cheap, and off wherever the median is
            if known < 3 or abs(surface[i, j] - total / known) < 0.5 * STEP:
                continue
            if abs(surface[i, j] - np.median(around[:known])) > STEP:
                kept[i, j] = np.nan
    return kept


@kernel
def _fill(surface: GroundSurface) -> GroundSurface:
    """Give each cell without a height the mean of its neighbours, of which two must have one."""
    filled = surface.copy()
    for i in range(_SIDE):
        for j in range(_SIDE):
            if not np.isnan(surface[i, j]):
                continue
            total = 0.0
            known = 0
            for a in range(max(i - 1, 0), min(i + 2, _SIDE)):
                for b in range(max(j - 1, 0), min(j + 2, _SIDE)):
                    if not np.isnan(surface[a, b]):
                        total += surface[a, b]
                        known += 1
            if known >= 2:
                filled[i, j] = total / known
    return filled
