"""Hypotheses of a cluster's motion: proposed by search, tracks and neighbours, then registered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.cluster_motion import Motions
from ssl_perception.flow.rigid.cluster_scratch import Scratch
from ssl_perception.flow.rigid.hypothesis_search import (
    search_translations,
    time_between_sightings,
)
from ssl_perception.flow.rigid.propagation import REGISTERED
from ssl_perception.flow.rigid.registration import robust_icp
from ssl_perception.flow.rigid.sampling import DENSE, Sample, sample_source, sample_target
from ssl_perception.flow.rigid.scene import Scene
from ssl_perception.flow.rigid.steps_ahead import StepsAhead
from ssl_perception.runtime.numba_kernel import kernel


@kernel
def propose(
    scene: Scene,
    c: int,
    active: bool,
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
    found: Motions,
) -> tuple[int, int, bool]:
    """Fill ``scratch.hypotheses`` with zero, then those searched, then those guessed, then the
    motion of the cluster that was split off.

    Returns:
        How many there are after the searched ones, and in all; whether the last is a split-off's.
    """
    hypotheses = scratch.hypotheses
    hypotheses[0, :] = 0.0
    count = 1
    if active:
        count += search_translations(
            scene.field,
            scratch.sample.x,
            scratch.sample.size[0],
            scene.parts.centre[c],
            scratch.score,
            hypotheses[1:],
        )
    searched = count
    box = scene.parts.box[c]
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
    sibling = scene.parts.sibling[c]
    borrows = sibling >= 0 and found.state[sibling] == REGISTERED and count < len(hypotheses)
    if borrows:
        for axis in range(2):
            hypotheses[count, axis] = found.motion[sibling, axis]
        count += 1
    return searched, count, borrows


@kernel
def sample_cluster(scene: Scene, c: int, dense: bool, sample: Sample) -> None:
    """Sample the cluster; see ``sample_source``."""
    parts = scene.parts
    sample_source(
        sample,
        scene.source,
        scene.source_points,
        scene.source_time,
        parts.order[parts.begin[c] : parts.end[c]],
        dense,
        parts.centre[c],
    )


@kernel
def sample_surroundings(
    scene: Scene,
    c: int,
    reach: float,
    dense: bool,
    known_state: NDArray[np.int8],
    sample: Sample,
) -> None:
    """Sample the target within ``reach`` m of the cluster's box; see ``sample_target``."""
    parts = scene.parts
    sample_target(
        sample,
        scene.target,
        scene.target_points,
        scene.target_time,
        scene.novel,
        scene.explained,
        parts.label,
        known_state,
        c,
        parts.box[c],
        reach,
        0.3,
        dense,
        parts.centre[c],
    )


@kernel
def largest_shift(hypotheses: NDArray[np.float32], count: int) -> float:
    """The largest component of ``count`` hypotheses (>= count, 2), m."""
    largest = 0.0
    for h in range(count):
        for axis in range(2):
            largest = max(largest, abs(float(hypotheses[h, axis])))
    return largest


@kernel
def prepare(
    scene: Scene,
    c: int,
    active: bool,
    known_state: NDArray[np.int8],
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
    found: Motions,
) -> tuple[int, int, bool]:
    """Sample the cluster and its surroundings, and propose hypotheses; returns as ``propose``."""
    dense = sampled_densely(scene, c, active)
    sample_cluster(scene, c, dense, scratch.sample)
    searched, count, borrows = propose(scene, c, active, guess_box, guess_shift, scratch, found)
    reach = max(0.4, 0.5 + largest_shift(scratch.hypotheses, count))
    sample_surroundings(scene, c, reach, dense, known_state, scratch.sample)
    return searched, count, borrows


@kernel
def sampled_densely(scene: Scene, c: int, active: bool) -> bool:
    """Whether one point per voxel is sampled."""
    return active and scene.parts.end[c] - scene.parts.begin[c] >= DENSE


@kernel
def start_from(
    scene: Scene, c: int, h: int, searched: int, scratch: Scratch, q: NDArray[np.float64]
) -> None:
    """Where ICP starts for hypothesis h: ``q`` (4,), written."""
    hypothesis = scratch.hypotheses[h]
    scale = 1.0
    if 0 < h < searched:
        box, centre = scene.parts.box[c], scene.parts.centre[c]
        scale = 1.0 / time_between_sightings(scratch.sample, box, centre, hypothesis)
    q[0] = hypothesis[0] * scale
    q[1] = hypothesis[1] * scale
    q[2] = q[3] = 0.0


@kernel
def register_hypotheses(
    scene: Scene,
    c: int,
    searched: int,
    count: int,
    ahead: StepsAhead,
    scratch: Scratch,
    found: Motions,
) -> tuple[int, int]:
    """Robust ICP from each hypothesis. ``scratch.candidate`` gets no motion, then the solutions.

    Returns:
        The number of distinct solutions, and which of them the last hypothesis led to.
    """
    candidate = scratch.candidate
    candidate[:] = 0.0
    solutions = 0
    last = 0
    # a cluster that has been split is another one now
    slot = ahead.slot[c] if scene.parts.depth[c] == 0 else -1
    for h in range(count):
        q = candidate[solutions + 1]
        start_from(scene, c, h, searched, scratch, q)
        known = candidate[1 : solutions + 1]
        steps = ahead.steps[slot, h] if slot >= 0 else ahead.none
        iterations, twin = robust_icp(
            scratch.sample, scratch.matching, q, known, steps, scratch.a, scratch.b
        )
        found.iterations[c] += iterations
        if twin < 0:
            solutions += 1
        last = solutions if twin < 0 else twin + 1
    return solutions, last
