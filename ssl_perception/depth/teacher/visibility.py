"""Which lidar points the camera sees: those that nothing nearer hides.

A lidar that is mounted elsewhere looks over and past what hides a point from the camera, and
between its beams there is room: a far point then falls onto the picture of something near. So each
point is compared with the nearer ones around its ray. A nearer point hides it if its direction lies
within ``beam_gap`` (between two beams that meet one surface there is no more room than that) and
inside a cone about the ray with its apex at the point (the visibility cone of Pintus et al.,
VAST 2011): the ground towards the horizon is nearer below each of its points, too, but leaves the
ray at its slope.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray

_CONE = 4.0  # its half angle's tangent, in beam gaps
_THICKNESS = 0.05  # a surface's points differ by so large a share of their depth
_CELLS = 4.0  # of the search grid, in a beam gap


def visible(points: FloatArray, beam_gap: float) -> BoolArray:
    """(N,) which points the camera sees past the others.

    Args:
        points: (N, 3) metres in the camera's optical frame, all before it (z > 0).
        beam_gap: rad between neighbouring beams, the largest.
    """
    z = np.ascontiguousarray(points[:, 2])
    x, y = (np.ascontiguousarray(points[:, axis] / z) for axis in (0, 1))
    seen = np.ones(len(points), np.bool_)
    if len(points) == 0:
        return seen
    cell = beam_gap / _CELLS
    low = np.array([x.min(), y.min()])
    columns, rows = (
        np.floor((axis - start) / cell).astype(np.int32)
        for axis, start in ((x, low[0]), (y, low[1]))
    )
    nearest = np.full((int(rows.max()) + 1, int(columns.max()) + 1), -1, np.int32)
    far_to_near = np.argsort(-z, kind="stable")
    nearest[rows[far_to_near], columns[far_to_near]] = far_to_near  # the last one written stays
    reach = int(np.ceil(_CELLS))
    _hide(x, y, z, rows, columns, nearest, reach, beam_gap, _CONE * beam_gap, _THICKNESS, seen)
    return seen


@kernel
def _hide(
    x: FloatArray,
    y: FloatArray,
    z: FloatArray,
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    nearest: NDArray[np.int32],
    reach: int,
    gap: float,
    cone: float,
    thickness: float,
    seen: BoolArray,
) -> None:
    """Clear ``seen`` (N,) of what the ``nearest`` point of a cell within ``reach`` cells hides."""
    height, width = nearest.shape
    for p in range(len(z)):
        for row in range(max(rows[p] - reach, 0), min(rows[p] + reach + 1, height)):
            for column in range(max(columns[p] - reach, 0), min(columns[p] + reach + 1, width)):
                q = nearest[row, column]
                if q < 0:
                    continue
                nearer = z[p] - z[q]
                if nearer <= thickness * z[q]:
                    continue
                aside = np.hypot(x[q] - x[p], y[q] - y[p])
                if aside <= gap and aside * z[q] < cone * nearer:
                    seen[p] = False
                    break
            if not seen[p]:
                break
