"""The motion of clusters, one after another: hypotheses, registration, acceptance, refinement."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ssl_perception.flow.rigid.acceptance import MIN_LENGTH, earns_motion, energy
from ssl_perception.flow.rigid.components import Components
from ssl_perception.flow.rigid.hypothesis_search import (
    MAX_HYPOTHESES,
    STEP,
    CostField,
    search_translations,
    slides,
)
from ssl_perception.flow.rigid.propagation import REGISTERED, STATIC
from ssl_perception.flow.rigid.registration import (
    Matching,
    empty_matching,
    generalised_icp,
    robust_icp,
)
from ssl_perception.flow.rigid.sampling import (
    DENSE,
    Sample,
    empty_sample,
    sample_source,
    sample_target,
)
from ssl_perception.flow.rigid.visibility import RangeImage
from ssl_perception.flow.rigid.voxel_grid import VoxelGrid

MIN_POINTS = 12
MAX_EXTENT = 14.0  # m
MAX_PRE_TEST_EXTENT = 6.0  # m
MIN_UNMATCHED = 3  # voxels that make a cluster active
MAX_GUESSES = 4


class Scene(NamedTuple):
    """All that the registration of a cluster reads. Coordinates: from the source's sensor.

    ``source_time`` and ``target_time`` are fractions of the interval T; ``novel`` is per target
    voxel, ``image`` the target's range image, ``field`` its cost field.
    """

    source: VoxelGrid
    source_points: NDArray[np.float32]
    source_time: NDArray[np.float32]
    target: VoxelGrid
    target_points: NDArray[np.float32]
    target_time: NDArray[np.float32]
    novel: NDArray[np.bool_]
    image: RangeImage
    field: CostField
    parts: Components


class Motions(NamedTuple):
    """What was found per cluster.

    Attributes:
        state: (K,) int8, STATIC, REGISTERED or PROPAGATED.
        motion: (K, 4) float64: t_x, t_y, t_z in metres over T, yaw in radians.
        pivot: (K, 2) float32: the yaw turns about it.
        energy: (K, 2) float64: E of the motion and of standing still, per sampled point; equal
            where nothing was tried.
        support: (K,) int32, sampled source points.
        iterations: (K,) int32.
    """

    state: NDArray[np.int8]
    motion: NDArray[np.float64]
    pivot: NDArray[np.float32]
    energy: NDArray[np.float64]
    support: NDArray[np.int32]
    iterations: NDArray[np.int32]


class Scratch(NamedTuple):
    """Memory for one cluster at a time; one per thread."""

    sample: Sample
    matching: Matching
    score: NDArray[np.int32]
    hypotheses: NDArray[np.float32]
    candidate: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]


def scratch(reach: int) -> Scratch:
    """Memory for a lattice of half-width ``reach``."""
    return Scratch(
        empty_sample(),
        empty_matching(),
        np.zeros((2 * reach + 1, 2 * reach + 1), np.int32),
        np.zeros((1 + MAX_HYPOTHESES + MAX_GUESSES, 2), np.float32),
        np.zeros((2, 4)),
        np.zeros((4, 4)),
        np.zeros(4),
    )


@njit(cache=True, nogil=True)
def find_candidates(scene: Scene, candidate: NDArray[np.int8]) -> None:
    """Mark the clusters that may move at all. (K,) int8, written: 0 no, 1 slides, 2 active."""
    parts = scene.parts
    for c in range(len(candidate)):
        candidate[c] = 0
        extent = max(
            parts.box[c, 1, 0] - parts.box[c, 0, 0], parts.box[c, 1, 1] - parts.box[c, 0, 1]
        )
        if parts.points[c] < MIN_POINTS or extent > MAX_EXTENT:
            continue
        if parts.unmatched[c] >= MIN_UNMATCHED:
            candidate[c] = 2
        elif extent <= MAX_PRE_TEST_EXTENT:
            voxels = parts.order[parts.first[c] : parts.first[c + 1]]
            if slides(scene.source, scene.target, voxels):
                candidate[c] = 1


@njit(cache=True, nogil=True)
def register_clusters(
    scene: Scene,
    queue: NDArray[np.int32],
    candidate: NDArray[np.int8],
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
    found: Motions,
) -> None:
    """Register the clusters in ``queue``, in this order.

    Args:
        scene: see ``Scene``.
        queue: (n,) int32, cluster numbers.
        candidate: (K,) int8 as from ``find_candidates``.
        guess_box, guess_shift: (G, 2, 3) and (G, 2) float32: where something is thought to move
            so far over T, as a further hypothesis; metres.
        scratch, found: see there; ``found`` is written for the clusters in the queue.
    """
    for c in queue:
        _register(scene, c, candidate[c] == 2, guess_box, guess_shift, scratch, found)


@njit(cache=True, nogil=True)
def _register(
    scene: Scene,
    c: int,
    active: bool,
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
    found: Motions,
) -> None:
    parts, sample, matching = scene.parts, scratch.sample, scratch.matching
    voxels = parts.order[parts.first[c] : parts.first[c + 1]]
    centre, box = parts.centre[c], parts.box[c]
    dense = active and len(voxels) >= DENSE
    sample_source(
        sample, scene.source, scene.source_points, scene.source_time, voxels, dense, centre
    )
    m = sample.size[0]
    hypotheses = scratch.hypotheses
    hypotheses[0, :] = 0.0
    count = 1
    if active:
        count += search_translations(
            scene.field, sample.x, m, centre, scratch.score, hypotheses[1:]
        )
    searched = count
    for g in range(len(guess_box)):
        if count == len(hypotheses):
            break
        near = True
        for axis in range(3):
            near = near and guess_box[g, 0, axis] <= box[1, axis]
            near = near and box[0, axis] <= guess_box[g, 1, axis]
        if near:
            hypotheses[count] = guess_shift[g]
            count += 1
    largest = 0.0
    for h in range(count):
        for axis in range(2):
            largest = max(largest, abs(float(hypotheses[h, axis])))
    sample_target(
        sample,
        scene.target,
        scene.target_points,
        scene.target_time,
        scene.novel,
        box,
        max(0.4, 0.5 + largest),
        0.3,
        dense,
        centre,
    )
    found.support[c] = m
    if sample.size[1] < 5:
        return
    best, trial = scratch.candidate[0], scratch.candidate[1]
    best[:] = 0.0
    still, still_forward = energy(sample, matching, best, centre, scene.image)
    lowest, lowest_forward = still, still_forward
    for h in range(count):
        trial[:] = 0.0
        scale = 1.0
        if 0 < h < searched:
            scale = 1.0 / _time_between(sample, box, centre, hypotheses[h])
        trial[0] = hypotheses[h, 0] * scale
        trial[1] = hypotheses[h, 1] * scale
        found.iterations[c] += robust_icp(sample, matching, trial, scratch.a, scratch.b)
        total, forward = energy(sample, matching, trial, centre, scene.image)
        if total < lowest:
            lowest, lowest_forward = total, forward
            best[:] = trial
    found.energy[c, 0] = lowest / m
    found.energy[c, 1] = still / m
    length = np.hypot(best[0], best[1])
    if not earns_motion(m, length, lowest, lowest_forward, still, still_forward, active):
        return
    trial[:] = best
    found.iterations[c] += generalised_icp(sample, matching, trial, scratch.a, scratch.b)
    if np.hypot(trial[0] - best[0], trial[1] - best[1]) < 0.4:
        best[:] = trial
    if MIN_LENGTH < np.hypot(best[0], best[1]) <= 1.05 * scene.field.reach * STEP:
        found.state[c] = REGISTERED
        found.motion[c] = best


@njit(cache=True, nogil=True)
def _time_between(
    sample: Sample,
    box: NDArray[np.float32],
    centre: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> float:
    """Mean time between the two sights of the cluster, in fractions of T, if it moved by ``shift``.

    The search compares clouds as captured: a beam may meet the body earlier or later in the
    second sweep than in the first. 1 where that can't be told, or would be below 0.4.
    """
    grow = 0.2
    total = 0.0
    count = 0
    for j in range(sample.size[1]):
        x = sample.y[0, j] + centre[0] - shift[0]
        y = sample.y[1, j] + centre[1] - shift[1]
        z = sample.y[2, j]
        if (
            box[0, 0] - grow <= x <= box[1, 0] + grow
            and box[0, 1] - grow <= y <= box[1, 1] + grow
            and box[0, 2] - grow <= z <= box[1, 2] + grow
        ):
            total += sample.y_time[j]
            count += 1
    if count == 0:
        return 1.0
    own = 0.0
    for i in range(sample.size[0]):
        own += sample.x_time[i]
    between = 1.0 + total / count - own / sample.size[0]
    return between if between >= 0.4 else 1.0


@njit(cache=True, nogil=True)
def write_flow(
    scene: Scene, found: Motions, flow: NDArray[np.float32], moving: NDArray[np.bool_]
) -> None:
    """Give each point of a moving cluster its displacement; all else stays exactly zero.

        flow_xy = R(psi)(x - c) + c + t - x,   flow_z = t_z

    ``flow`` (N, 3) float32 and ``moving`` (N,) bool come in as zero.
    """
    for c in range(len(found.state)):
        if found.state[c] == STATIC:
            continue
        cos, sin = np.cos(found.motion[c, 3]), np.sin(found.motion[c, 3])
        for a in range(scene.parts.first[c], scene.parts.first[c + 1]):
            v = scene.parts.order[a]
            for b in range(scene.source.first[v], scene.source.first[v + 1]):
                p = scene.source.order[b]
                rx = scene.source_points[p, 0] - found.pivot[c, 0]
                ry = scene.source_points[p, 1] - found.pivot[c, 1]
                flow[p, 0] = cos * rx - sin * ry - rx + found.motion[c, 0]
                flow[p, 1] = sin * rx + cos * ry - ry + found.motion[c, 1]
                flow[p, 2] = found.motion[c, 2]
                moving[p] = True
