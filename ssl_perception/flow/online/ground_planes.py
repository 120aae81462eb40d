"""Ground without Patchwork++ (which has wheels for x86-64 alone): planes on a square grid.

A plane is fitted to each cell from the lowest points of the cells around it, then again from the
points near that plane. Like Patchwork++ it is meant to find nothing but ground;
``ground_surface`` adds what it leaves over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ssl_perception.config import GroundConfig
from ssl_perception.types import BoolArray, FloatArray

CELL = 2.0  # m
WINDOW = 5  # cells around, of which a plane is made
TOLERANCE = (0.3, 0.1)  # m from the expected height near the sensor, and more per metre of distance
THICKNESS = (0.4, 0.2, 0.1)  # m around the plane that count as ground, fit after fit
MAX_SLOPE = 0.3  # m per m
MIN_CELLS = 3  # cells with points that a plane needs


class PlaneGround:
    """The ground of level points, z up, their origin at the sensor.

    Args:
        options: range in which ground is looked for.
        height: of the sensor above the ground, m.
    """

    def __init__(self, options: GroundConfig, height: float) -> None:
        self._options, self._height = options, height

    def find(self, points: FloatArray) -> BoolArray:
        """(N, 3) points m -> (N,) True where a point is ground."""
        distance = np.hypot(points[:, 0], points[:, 1])
        in_range = (distance > self._options.min_range) & (distance < self._options.max_range)
        near = np.flatnonzero(in_range)
        x, y, z = (points[near, axis].astype(np.float64) for axis in range(3))
        side = 2 * int(np.ceil(self._options.max_range / CELL)) + 1
        cell = [np.floor(axis / CELL).astype(np.intp) + side // 2 for axis in (x, y)]
        index = cell[0] * side + cell[1]
        seeds = np.abs(z + self._height) < TOLERANCE[0] + TOLERANCE[1] * distance[near]
        lowest = np.full(side * side, np.inf)
        np.minimum.at(lowest, index[seeds], z[seeds])
        ground = seeds & (z < lowest[index] + THICKNESS[0])
        for thickness in THICKNESS:
            above = _above_planes(x, y, z, index, ground, side)
            ground = np.abs(above) < thickness  # NaN, where there is no plane, isn't
        found = np.zeros(len(points), np.bool_)
        found[near[ground]] = True
        return found


def _above_planes(
    x: NDArray, y: NDArray, z: NDArray, index: NDArray[np.intp], ground: BoolArray, side: int
) -> NDArray[np.float64]:
    """Heights above the plane of each point's own cell, m; NaN where there is none.

    Each cell counts the same, whatever its number of points: the least squares are over the means
    of the cells' ground points.
    """
    count = np.bincount(index[ground], minlength=side * side)
    filled = count > 0
    mean = [
        np.bincount(index[ground], value[ground], side * side) / np.maximum(count, 1)
        for value in (x, y, z)
    ]

    def around(values: NDArray) -> NDArray[np.float64]:
        grid = np.where(filled, values, 0.0).reshape(side, side)
        return uniform_filter(grid, WINDOW, mode="constant").ravel() * WINDOW**2

    cells = np.maximum(around(filled.astype(np.float64)), 1e-9)
    mx, my, mz = (around(value) / cells for value in mean)
    xx, yy = (around(v * v) / cells - m * m for v, m in ((mean[0], mx), (mean[1], my)))
    xy = around(mean[0] * mean[1]) / cells - mx * my
    xz = around(mean[0] * mean[2]) / cells - mx * mz
    yz = around(mean[1] * mean[2]) / cells - my * mz
    xx, yy = xx + 0.01 * CELL**2, yy + 0.01 * CELL**2  # a row of cells has no slope across
    determinant = xx * yy - xy * xy
    a, b = (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
    usable = (cells > MIN_CELLS - 0.5) & (np.hypot(a, b) < MAX_SLOPE)
    plane = np.where(usable, mz, np.nan)
    return z - plane[index] - a[index] * (x - mx[index]) - b[index] * (y - my[index])
