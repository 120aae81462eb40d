"""The box around points. NumPy needs ten times as long for columns of three."""

from __future__ import annotations

import numpy as np

from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import FloatArray


@kernel
def corners(points: FloatArray) -> FloatArray:
    """(n, 3) points -> (2, 3) float32: lower and upper corner; infinite for none."""
    found = np.empty((2, 3), np.float32)
    found[0] = np.float32(np.inf)
    found[1] = np.float32(-np.inf)
    for p in range(len(points)):
        for axis in range(3):
            found[0, axis] = min(found[0, axis], points[p, axis])
            found[1, axis] = max(found[1, axis], points[p, axis])
    return found
