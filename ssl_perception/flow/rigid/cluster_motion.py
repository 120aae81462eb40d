"""The motion of clusters, one after another: hypotheses, registration, acceptance, refinement."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.acceptance import (
    MIN_LENGTH,
    costs,
    earns_motion,
    energies,
    large_earns_motion,
    significance,
)
from ssl_perception.flow.rigid.components import Components, measure
from ssl_perception.flow.rigid.height_above_ground import Ceiling, hovers
from ssl_perception.flow.rigid.hypothesis_search import (
    MAX_HYPOTHESES,
    STEP,
    CostField,
    search_translations,
    slides,
)
from ssl_perception.flow.rigid.propagation import PROPAGATED, REGISTERED, STATIC
from ssl_perception.flow.rigid.registration import (
    Matching,
    empty_matching,
    generalised_icp,
    robust_icp,
)
from ssl_perception.flow.rigid.sampling import (
    DENSE,
    FINE_SOURCE,
    FINE_TARGET,
    MAX_SOURCE,
    MAX_TARGET,
    Sample,
    empty_sample,
    sample_source,
    sample_target,
)
from ssl_perception.flow.rigid.split import (
    MAX_DEPTH,
    disagreement,
    merge,
    split,
    worth_splitting,
)
from ssl_perception.flow.rigid.visibility import RangeImage
from ssl_perception.flow.rigid.voxel_grid import VoxelGrid
from ssl_perception.runtime.numba_kernel import kernel, take_number

MIN_POINTS = 12
MAX_EXTENT = 20.0  # m
MAX_PRE_TEST_EXTENT = 6.0  # m
MIN_HEIGHT, FLAT_RANGE = 0.15, 15.0  # m: nearer, several rings hit whatever moves; a sheet slides
MIN_UNMATCHED = 3  # voxels that make a cluster active
MAX_GUESSES = 4
LANES = 2  # so many may register clusters at once
MAX_LOSS = 0.06  # mean cost, where its motion fits worse than none, that one rigid body may have


class Scene(NamedTuple):
    """All that the registration of a cluster reads. Coordinates: from the source's sensor.

    ``source_time`` and ``target_time`` are fractions of the interval T; ``matched`` is per source
    voxel, ``explained`` and ``novel`` per target voxel, ``image`` the target's range image,
    ``field`` its cost field; ``ceiling`` is of the source.
    """

    source: VoxelGrid
    source_points: NDArray[np.float32]
    source_time: NDArray[np.float32]
    matched: NDArray[np.int32]
    target: VoxelGrid
    target_points: NDArray[np.float32]
    target_time: NDArray[np.float32]
    explained: NDArray[np.int32]
    novel: NDArray[np.bool_]
    image: RangeImage
    field: CostField
    parts: Components
    ceiling: Ceiling


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
    """Memory for one cluster at a time; one per lane. What begins with ``fine`` is for the
    verdict on a large one, the rest for its registration.

    ``fresh`` (1,) is the next number for what is split off; lanes have every second number each.
    """

    fresh: NDArray[np.int64]
    sample: Sample
    matching: Matching
    fine_sample: Sample
    fine_matching: Matching
    fine_forward: NDArray[np.float32]
    fine_backward: NDArray[np.float32]
    fine_energy: NDArray[np.float64]
    fine_candidate: NDArray[np.float64]
    score: NDArray[np.int32]
    hypotheses: NDArray[np.float32]
    candidate: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    verdict: NDArray[np.float64]
    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
    energy: NDArray[np.float64]
    stack: NDArray[np.int32]


def scratch(reach: int, fresh: int) -> Scratch:
    """Memory for a lattice of half-width ``reach``; ``fresh``: the lane's first free number."""
    return Scratch(
        np.array([fresh]),
        empty_sample(),
        empty_matching(),
        empty_sample(FINE_SOURCE, FINE_TARGET),
        empty_matching(FINE_SOURCE, FINE_TARGET),
        np.zeros((2, FINE_SOURCE), np.float32),
        np.zeros((2, FINE_TARGET), np.float32),
        np.zeros((2, 2)),
        np.zeros((2, 4)),
        np.zeros((2 * reach + 1, 2 * reach + 1), np.int32),
        np.zeros((1 + MAX_HYPOTHESES + MAX_GUESSES, 2), np.float32),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, 4)),
        np.zeros((4, 4)),
        np.zeros(4),
        np.zeros(MAX_SOURCE),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, MAX_SOURCE), np.float32),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, MAX_TARGET), np.float32),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, 2)),
        np.zeros(2 * MAX_DEPTH + 2, np.int32),
    )


@kernel
def find_candidates(scene: Scene, lane: int, candidate: NDArray[np.int8]) -> None:
    """Mark the lane's clusters that may move at all: (K,) int8, written, see ``_candidate``."""
    for c in range(lane, len(candidate), LANES):
        candidate[c] = _candidate(scene, c)


@kernel
def _candidate(scene: Scene, c: int) -> int:
    """0: can't move. 1: all matched, but matches better when it slides. 2: active."""
    parts = scene.parts
    box = parts.box[c]
    extent = max(box[1, 0] - box[0, 0], box[1, 1] - box[0, 1])
    if parts.points[c] < MIN_POINTS or extent > MAX_EXTENT:
        return 0
    flat = box[1, 2] - box[0, 2] < MIN_HEIGHT
    if flat and np.hypot(parts.centre[c, 0], parts.centre[c, 1]) < FLAT_RANGE:
        return 0
    if hovers(scene.ceiling, parts.centre[c], box[0, 2]):
        return 0
    if parts.unmatched[c] >= MIN_UNMATCHED:
        return 2
    if extent > MAX_PRE_TEST_EXTENT:
        return 0
    voxels = parts.order[parts.begin[c] : parts.end[c]]
    return 1 if slides(scene.source, scene.target, voxels) else 0


@kernel
def register_clusters(
    scene: Scene,
    queue: NDArray[np.int32],
    taken: NDArray[np.int64],
    enough: int,
    settled: NDArray[np.int8],
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
    found: Motions,
) -> None:
    """Register the clusters in ``queue``, in this order, and what they are split into.

    Lanes may do so at once, each with scratch of its own. What they write belongs to the clusters
    that they took, and what they find doesn't depend on who took which.

    Args:
        scene: see ``Scene``; its ``parts`` grow where clusters are split.
        queue: (n,) int32, cluster numbers.
        taken: (1,) int64, how many of the queue are taken; counts on beyond n.
        enough: return after so many.
        settled: (K,) int8, the states that all lanes may rely on: a copy of ``found.state``.
        guess_box, guess_shift: (G, 2, 3) and (G, 2) float32: where something is thought to move
            so far over T, as a further hypothesis; metres.
        scratch, found: see there; ``found`` is written for the clusters in the queue.
    """
    stack = scratch.stack
    for _ in range(enough):
        turn = take_number(taken)
        if turn >= len(queue):
            return
        stack[0] = queue[turn]
        height = 1
        while height > 0:
            height -= 1
            c = stack[height]
            came_off = scene.parts.sibling[c]
            if came_off >= 0 and found.state[came_off] == STATIC:
                merge(scene.parts, c)
                measure(scene.source, scene.source_points, scene.matched, scene.parts, c)
            kind = _candidate(scene, c)
            found.pivot[c] = scene.parts.centre[c]
            if kind == 0:
                continue
            if _register(scene, c, kind == 2, settled, guess_box, guess_shift, scratch, found):
                stack[height] = c
                stack[height + 1] = scratch.fresh[0]
                height += 2
                scratch.fresh[0] += LANES


@kernel
def _hypotheses(
    scene: Scene,
    c: int,
    active: bool,
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
) -> tuple[int, int]:
    """Fill ``scratch.hypotheses`` with zero, then those searched, then those guessed.

    Returns:
        How many there are after the searched ones, and in all.
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
    return searched, count


@kernel
def _register(
    scene: Scene,
    c: int,
    active: bool,
    settled: NDArray[np.int8],
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
    found: Motions,
) -> bool:
    """Find the motion of cluster c. Returns True if it was split instead: register both parts."""
    parts, sample, matching = scene.parts, scratch.sample, scratch.matching
    voxels = parts.order[parts.begin[c] : parts.end[c]]
    centre, box = parts.centre[c], parts.box[c]
    dense = active and len(voxels) >= DENSE
    sample_source(
        sample, scene.source, scene.source_points, scene.source_time, voxels, dense, centre
    )
    m = sample.size[0]
    searched, count = _hypotheses(scene, c, active, guess_box, guess_shift, scratch)
    hypotheses = scratch.hypotheses
    came_off = parts.sibling[c]
    borrows = False
    if came_off >= 0 and found.state[came_off] == REGISTERED and count < len(hypotheses):
        for axis in range(2):
            hypotheses[count, axis] = found.motion[came_off, axis]
        count += 1
        borrows = True
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
        scene.explained,
        parts.label,
        settled,
        c,
        box,
        max(0.4, 0.5 + largest),
        0.3,
        dense,
        centre,
    )
    found.support[c] = m
    if sample.size[1] < 5:
        return False
    candidate = scratch.candidate  # the first is standing still
    candidate[:] = 0.0
    solutions = 0
    last = 0
    for h in range(count):
        q = candidate[solutions + 1]
        scale = 1.0
        if 0 < h < searched:
            scale = 1.0 / _time_between(sample, box, centre, hypotheses[h])
        q[0] = hypotheses[h, 0] * scale
        q[1] = hypotheses[h, 1] * scale
        q[2] = q[3] = 0.0
        known = candidate[1 : solutions + 1]
        iterations, twin = robust_icp(sample, matching, q, known, scratch.a, scratch.b)
        found.iterations[c] += iterations
        if twin < 0:
            solutions += 1
        last = solutions if twin < 0 else twin + 1
    borrowed = last if borrows else 0
    for h in range(solutions + 1):
        costs(
            sample,
            matching,
            candidate[h],
            centre,
            scene.image,
            scratch.forward[h],
            scratch.backward[h],
        )
    energy = scratch.energy
    energies(sample, solutions + 1, candidate, scratch.forward, scratch.backward, energy)
    best = 0
    split_by = 0
    split_score = 0.0
    for h in range(solutions + 1):
        if energy[h, 0] < energy[best, 0]:
            best = h
        gain, loss = disagreement(m, scratch.forward[0], scratch.forward[h])
        if worth_splitting(gain, loss) and gain - 0.2 * loss > split_score:
            split_by = h
            split_score = gain - 0.2 * loss
    found.energy[c, 0] = energy[best, 0]
    found.energy[c, 1] = energy[0, 0]
    length = np.hypot(candidate[best, 0], candidate[best, 1])
    if dense and len(voxels) > MAX_SOURCE:
        rival = _rival(candidate, energy, solutions)
        earned = rival > 0 and _large_earns_motion(scene, c, candidate[rival], scratch, settled)
        best = rival if earned else best
    else:
        earned = earns_motion(
            length,
            abs(candidate[best, 2]),
            energy[best, 0],
            energy[best, 1],
            energy[0, 0],
            energy[0, 1],
            active,
        )
    _, loss = disagreement(m, scratch.forward[0], scratch.forward[best])
    one_body = earned and loss < MAX_LOSS * m
    two_bodies = active and not one_body and split_by > 0 and parts.depth[c] < MAX_DEPTH
    if two_bodies and split(
        scene.source,
        scene.source_points,
        scene.matched,
        parts,
        c,
        sample,
        scratch.forward[0],
        scratch.forward[split_by],
        candidate[split_by],
        scratch.verdict,
        scratch.fresh[0],
    ):
        return True
    if not earned:
        if borrowed > 0 and energy[borrowed, 0] < 0.9 * energy[0, 0]:
            found.state[c] = PROPAGATED
            found.motion[c] = found.motion[came_off]
            found.pivot[c] = found.pivot[came_off]
        return False
    q = candidate[best]
    refined = candidate[0]
    refined[:] = q
    found.iterations[c] += generalised_icp(sample, matching, refined, scratch.a, scratch.b)
    if np.hypot(refined[0] - q[0], refined[1] - q[1]) < 0.4:
        q[:] = refined
    if MIN_LENGTH < np.hypot(q[0], q[1]) <= 1.05 * scene.field.reach * STEP:
        found.state[c] = REGISTERED
        found.motion[c] = q
    return False


@kernel
def _rival(candidate: NDArray[np.float64], energy: NDArray[np.float64], count: int) -> int:
    """The best of the candidates that move, unless it is clearly worse than standing still: 0."""
    rival = 0
    bound = 1.05 * energy[0, 0]
    for h in range(1, count + 1):
        moves = np.hypot(candidate[h, 0], candidate[h, 1]) > MIN_LENGTH
        if moves and energy[h, 0] < bound:
            rival = h
            bound = energy[h, 0]
    return rival


@kernel
def _large_earns_motion(
    scene: Scene,
    c: int,
    motion: NDArray[np.float64],
    scratch: Scratch,
    settled: NDArray[np.int8],
) -> bool:
    """Whether a large cluster moves by ``motion`` (4,), all its voxels asked."""
    parts, sample, matching = scene.parts, scratch.fine_sample, scratch.fine_matching
    centre = parts.centre[c]
    sample_source(
        sample,
        scene.source,
        scene.source_points,
        scene.source_time,
        parts.order[parts.begin[c] : parts.end[c]],
        True,
        centre,
    )
    sample_target(
        sample,
        scene.target,
        scene.target_points,
        scene.target_time,
        scene.novel,
        scene.explained,
        parts.label,
        settled,
        c,
        parts.box[c],
        0.5 + max(abs(motion[0]), abs(motion[1])),
        0.3,
        True,
        centre,
    )
    if sample.size[1] < 5:
        return False
    forward, backward, energy = scratch.fine_forward, scratch.fine_backward, scratch.fine_energy
    candidate = scratch.fine_candidate  # the first is standing still
    candidate[1] = motion
    for h in range(2):
        costs(sample, matching, candidate[h], centre, scene.image, forward[h], backward[h])
    energies(sample, 2, candidate, forward, backward, energy)
    return large_earns_motion(
        np.hypot(motion[0], motion[1]),
        energy[1, 0],
        energy[1, 1],
        energy[0, 0],
        energy[0, 1],
        significance(sample, forward[0], forward[1], backward[0], backward[1]),
    )


@kernel
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


@kernel
def write_flow(
    scene: Scene, found: Motions, flow: NDArray[np.float32], moving: NDArray[np.bool_]
) -> None:
    """Give each point of a moving cluster its displacement; all else stays exactly zero.

        flow_xy = R(psi)(x - c) + c + t - x,   flow_z = t_z

    ``flow`` (N, 3) float32 and ``moving`` (N,) bool come in as zero.
    """
    for c in range(scene.parts.size[0]):
        if found.state[c] == STATIC:
            continue
        cos, sin = np.cos(found.motion[c, 3]), np.sin(found.motion[c, 3])
        for a in range(scene.parts.begin[c], scene.parts.end[c]):
            v = scene.parts.order[a]
            for b in range(scene.source.first[v], scene.source.first[v + 1]):
                p = scene.source.order[b]
                rx = scene.source_points[p, 0] - found.pivot[c, 0]
                ry = scene.source_points[p, 1] - found.pivot[c, 1]
                flow[p, 0] = cos * rx - sin * ry - rx + found.motion[c, 0]
                flow[p, 1] = sin * rx + cos * ry - ry + found.motion[c, 1]
                flow[p, 2] = found.motion[c, 2]
                moving[p] = True
