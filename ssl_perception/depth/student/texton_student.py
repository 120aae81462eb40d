"""Textons as a student of the depth pipeline: one distance for the whole view."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import ScanConfig, TextonsConfig
from ssl_perception.depth.student.architecture import NANO
from ssl_perception.depth.student.textons import Textons
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import CameraModel, Cue, DepthMap, FloatArray


class TextonStudent:
    """Student and learner at once.

    Args:
        options: settings of textons and regressor.
        seed: of the choice of patches.
        camera: of the images.
        scan: settings of the obstacle scan from which the training target is taken.
        ahead: rad either side of ahead, within which the nearest obstacle is the target.
    """

    def __init__(
        self, options: TextonsConfig, seed: int, camera: CameraModel, scan: ScanConfig, ahead: float
    ) -> None:
        self._textons = Textons(options, seed)
        self._grid = NANO.grid_camera(camera)
        self._scan = scan
        self._ahead = ahead
        across = (np.arange(self._grid.width) - self._grid.cx) / self._grid.fx
        self._per_metre = (1.0 / np.sqrt(1.0 + across**2)).astype(np.float32)  # depth of a range

    def learn(self, image: NDArray[np.uint8], label: FloatArray, stamp: float) -> None:
        """Take a left image and what stereo measured, (30, 40) log depth."""
        measured = DepthMap(np.exp(label), self._grid, stamp)
        distance = nearest_ahead(obstacle_scan(measured, self._scan), self._ahead)
        if not math.isnan(distance):
            self._textons.learn(image, distance)

    def take_back(self, since: float) -> int:
        """The baseline knows no suspicion: it keeps what it has learnt."""
        return 0

    def depth(self, image: NDArray[np.uint8], camera: CameraModel, stamp: float) -> DepthMap:
        """The same range in every direction that the image shows."""
        distance = self._textons.predict(image)
        if math.isnan(distance):
            unknown = np.full(NANO.grid, np.nan, np.float32)
            return DepthMap(unknown, self._grid, stamp, Cue.MONO, False, "no dictionary yet")
        ranges = np.repeat(distance * self._per_metre[None], self._grid.height, axis=0)
        return DepthMap(ranges.astype(np.float32), self._grid, stamp, Cue.MONO)
