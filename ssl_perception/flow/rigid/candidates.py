"""Which clusters may move at all: those that the target doesn't explain, of a mover's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.height_above_ground import above_limit
from ssl_perception.flow.rigid.hypothesis_search import slides
from ssl_perception.flow.rigid.scene import Scene
from ssl_perception.runtime.numba_kernel import kernel

NO_CANDIDATE, MATCHED, ACTIVE = 0, 1, 2

LANES = 2  # threads that work on clusters at once
MIN_POINTS = 12
MAX_EXTENT = 20.0  # m
MAX_PRE_TEST_EXTENT = 6.0  # m
MIN_HEIGHT, FLAT_RANGE = 0.15, 15.0  # m: nearer, several rings hit a mover; a flat sheet slides
MIN_UNMATCHED = 3  # voxels that make a cluster active


@kernel
def find_candidates(scene: Scene, lane: int, candidate: NDArray[np.int8]) -> None:
    """Classify the lane's clusters: (K,) int8, written, see ``candidate_kind``."""
    for c in range(lane, len(candidate), LANES):
        candidate[c] = candidate_kind(scene, c)


@kernel
def candidate_kind(scene: Scene, c: int) -> int:
    """NO_CANDIDATE: can't move. MATCHED: all voxels are, but fit better when shifted a little.
    ACTIVE: has unmatched voxels."""
    parts = scene.parts
    box = parts.box[c]
    extent = max(box[1, 0] - box[0, 0], box[1, 1] - box[0, 1])
    if parts.points[c] < MIN_POINTS or extent > MAX_EXTENT:
        return NO_CANDIDATE
    flat = box[1, 2] - box[0, 2] < MIN_HEIGHT
    if flat and np.hypot(parts.centre[c, 0], parts.centre[c, 1]) < FLAT_RANGE:
        return NO_CANDIDATE
    if above_limit(scene.height_limit, parts.centre[c], box[0, 2]):
        return NO_CANDIDATE
    if parts.unmatched[c] >= MIN_UNMATCHED:
        return ACTIVE
    if extent > MAX_PRE_TEST_EXTENT:
        return NO_CANDIDATE
    voxels = parts.order[parts.begin[c] : parts.end[c]]
    return MATCHED if slides(scene.source, scene.target, voxels) else NO_CANDIDATE
