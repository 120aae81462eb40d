"""Axes of the frames that sensors and robots have (REP 103)."""

from __future__ import annotations

import numpy as np

# optical axes (x right, y down, z ahead) in body axes (x ahead, y left, z up), (4, 4)
BODY_FROM_OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
