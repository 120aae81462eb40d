"""Height of the ground about the lidar, by direction and distance, for the obstacle scan.

Unlike ``flow.online.ground_surface``, which takes in what a segmentation has left over, this one
doubts it: what was taken for ground may be the bonnet of a car close by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray

BINS = 3600  # directions in which beams are kept apart: 0.1 degrees, finer than lidars turn
GROUND_SECTORS = 72
GROUND_RING = 2.0  # m, cells over which ground returns are averaged
GROUND_STEP, GROUND_SLOPE = 0.1, 0.15  # m and m/m: ground isn't steeper from cell to cell


@kernel
def ground_profile(
    place: FloatArray,
    distance: FloatArray,
    bins: NDArray[np.int32],
    ground: BoolArray,
    rings: int,
) -> tuple[FloatArray, FloatArray]:
    """Height of the ground about the sensor, m: (GROUND_SECTORS, ``rings``), and the distance up to
    which each sector's ground was seen, m: (GROUND_SECTORS,), 0 for not at all.

    What is taken for ground may be the bonnet of a car close by. So a cell's height is its second
    lowest point's, the robot stands on the median of what is next to it, and from there outwards a
    cell is believed only if no steeper way than GROUND_SLOPE leads to it.

    Args:
        place: (N, 3) about the sensor in level axes, m. distance: (N,) in the plane, m.
        bins: (N,) direction, of ``BINS``; -1: leave it out.
        ground: (N,) what was taken for ground.
        rings: of GROUND_RING m, how far out.
    """
    lowest = np.full((GROUND_SECTORS, rings), np.inf, np.float32)
    height = np.full((GROUND_SECTORS, rings), np.inf, np.float32)
    farthest = np.zeros((GROUND_SECTORS, rings), np.float32)
    known_to = np.zeros(GROUND_SECTORS, np.float32)
    for p in range(len(place)):
        if not ground[p] or bins[p] < 0:
            continue
        ring = int(distance[p] / np.float32(GROUND_RING))
        if ring >= rings:
            continue
        sector = bins[p] // (BINS // GROUND_SECTORS)
        z = place[p, 2]
        farthest[sector, ring] = max(farthest[sector, ring], distance[p])
        if z < lowest[sector, ring]:
            height[sector, ring] = lowest[sector, ring]
            lowest[sector, ring] = z
        else:
            height[sector, ring] = min(height[sector, ring], z)
    near = np.empty(GROUND_SECTORS, np.float32)
    count = 0
    for sector in range(GROUND_SECTORS):
        for ring in range(rings):
            if height[sector, ring] < np.inf:
                near[count] = height[sector, ring]
                count += 1
                break
    near[:count].sort()
    under = near[count // 2] if count else np.float32(0.0)
    for sector in range(GROUND_SECTORS):
        last, before = -1, under
        for ring in range(rings):
            here = height[sector, ring]
            way = np.float32(GROUND_RING) * np.float32(ring - last)
            if not abs(here - before) <= GROUND_STEP + GROUND_SLOPE * way:
                continue
            for between in range(last + 1, ring):
                share = np.float32(between - last) / np.float32(ring - last)
                height[sector, between] = before + share * (here - before)
            last, before = ring, here
            known_to[sector] = farthest[sector, ring]
        height[sector, last + 1 :] = before
    return height, known_to


@kernel
def finer(height: FloatArray, step: float, steps: int) -> FloatArray:
    """The heights (GROUND_SECTORS, rings) interpolated to the middles of ``steps`` steps."""
    fine = np.empty((len(height), steps), np.float32)
    for k in range(steps):
        at = max((k + 0.5) * step / GROUND_RING - 0.5, 0.0)
        ring = min(int(at), height.shape[1] - 1)
        after = min(ring + 1, height.shape[1] - 1)
        share = np.float32(at - ring)
        for sector in range(len(height)):
            here = height[sector, ring]
            fine[sector, k] = here + share * (height[sector, after] - here)
    return fine
