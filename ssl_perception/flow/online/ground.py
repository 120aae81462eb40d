"""Which points of a sweep are ground: Patchwork++ (Lee et al., IROS 2022), no map needed.

What it leaves over of the ground is added by ``ground_surface``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pypatchworkpp

from ssl_perception.config import GroundConfig
from ssl_perception.flow.online.ground_surface import (
    GroundSurface,
    fit_surface,
    mark_ground,
)
from ssl_perception.types import BoolArray, FloatArray

SAME_HEIGHT = 0.15  # m; a height that differs by more begins what Patchwork++ has learnt anew
FLOOR_CELL = 0.1  # m, height bins in which the floor is looked for
FLOOR_DEPTH = 100.0  # m below the sensor; what seems deeper is no floor
FLOOR_RANGE = 15.0  # m around the sensor
FLOOR_SHARE = 0.2  # of the fullest bin below the sensor: the lowest bin so full is the floor


class GroundSegmenter:
    """Splits sweep after sweep; Patchwork++ adapts its thresholds to what it has seen.

    Points must be level, z up, their origin at the sensor.

    Attributes:
        surface: that the ground of the last sweep spans; None before the first.
    """

    def __init__(self, options: GroundConfig | None = None) -> None:
        self.options = options or GroundConfig()
        self.reset()

    def reset(self) -> None:
        """Forget what earlier sweeps taught."""
        self._segmenter: pypatchworkpp.patchworkpp | None = None
        self._height = 0.0
        self.surface: GroundSurface | None = None

    def segment(self, points: FloatArray, height: float = 0.0) -> BoolArray:
        """Find the ground.

        Args:
            points: (N, 3) m.
            height: of the sensor above the ground, m; 0: as set, or else as the points show.

        Returns:
            (N,) True where a point is ground.
        """
        ground = np.zeros(len(points), np.bool_)
        if len(points) == 0:
            return ground
        height = height or self.options.sensor_height or estimate_sensor_height(points)
        if self._segmenter is None or abs(height - self._height) > SAME_HEIGHT:
            self._segmenter, self._height = _patchwork(self.options, height), height
        self._segmenter.estimateGround(points)
        ground[self._segmenter.getGroundIndices().ravel()] = True
        self.surface = fit_surface(points, ground)
        mark_ground(points, self.surface, ground)
        return ground


def _patchwork(options: GroundConfig, height: float) -> pypatchworkpp.patchworkpp:
    parameters = pypatchworkpp.Parameters()
    parameters.verbose = False
    parameters.enable_RNR = False  # reflected-noise removal wants intensities
    parameters.sensor_height = height
    parameters.max_range = options.max_range
    parameters.min_range = options.min_range
    with _quiet():
        return pypatchworkpp.patchworkpp(parameters)


def estimate_sensor_height(points: FloatArray) -> float:
    """Height of the sensor above the floor around it, metres; 0 when nothing is below it.

    The floor is the lowest well-filled height among the nearby points below the sensor.
    """
    near = np.hypot(points[:, 0], points[:, 1]) < FLOOR_RANGE
    below = -points[near & (points[:, 2] < 0.0) & (points[:, 2] > -FLOOR_DEPTH), 2]
    if len(below) == 0:
        return 0.0
    bins = (below / FLOOR_CELL).astype(np.intp)
    counts = np.bincount(bins)
    floor = np.flatnonzero(counts >= FLOOR_SHARE * counts.max())[-1]
    return float(np.median(below[bins == floor]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Patchwork++ greets on the process's standard output, which belongs to our caller."""
    saved, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)
