"""What the depth pipeline asks of a student, and of what teaches it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import CameraModel, DepthMap, FloatArray


class Student(Protocol):
    """Monocular depth: ``StudentInference``, or the texton baseline."""

    def depth(self, image: NDArray[np.uint8], camera: CameraModel, stamp: float) -> DepthMap:
        """Depth of a left image on the student's own grid; invalid, with a reason, if unknown."""
        ...


class OnlineLearning(Protocol):
    """What teaches the student: ``OnlineLearner``, or the texton baseline."""

    def learn(self, image: NDArray[np.uint8], label: FloatArray, stamp: float) -> object:
        """Take a left image with its pseudo-label, log depth on the student's grid, NaN unknown."""
        ...

    def take_back(self, since: float) -> int:
        """Forget what was learnt of images stamped ``since`` (s) or later; returns how many."""
        ...
