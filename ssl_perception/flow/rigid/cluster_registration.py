"""The registration of clusters, one after another: hypotheses, ICP, acceptance, GICP."""

from __future__ import annotations

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
from ssl_perception.flow.rigid.candidates import ACTIVE, LANES, NO_CANDIDATE, candidate_kind
from ssl_perception.flow.rigid.cluster_hypotheses import (
    prepare,
    register_hypotheses,
    sample_cluster,
    sample_surroundings,
    sampled_densely,
)
from ssl_perception.flow.rigid.cluster_motion import Motions
from ssl_perception.flow.rigid.cluster_scratch import Scratch
from ssl_perception.flow.rigid.components import measure
from ssl_perception.flow.rigid.hypothesis_search import STEP
from ssl_perception.flow.rigid.observability import UNOBSERVABLE, ends_show, observability
from ssl_perception.flow.rigid.propagation import PROPAGATED, REGISTERED, STATIC
from ssl_perception.flow.rigid.registration import generalised_icp
from ssl_perception.flow.rigid.sampling import MAX_SOURCE
from ssl_perception.flow.rigid.scene import Scene
from ssl_perception.flow.rigid.split import (
    MAX_DEPTH,
    disagreement,
    merge,
    split,
    worth_splitting,
)
from ssl_perception.flow.rigid.steps_ahead import StepsAhead
from ssl_perception.runtime.numba_kernel import kernel, take_number

MIN_TARGET = 5  # points within reach; fewer register nothing
MAX_LOSS = 0.06  # mean cost, where its motion fits worse than none, that one rigid body may have


@kernel
def register_clusters(
    scene: Scene,
    queue: NDArray[np.int32],
    taken: NDArray[np.int64],
    enough: int,
    known_state: NDArray[np.int8],
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    ahead: StepsAhead,
    scratch: Scratch,
    found: Motions,
) -> None:
    """Register the clusters in ``queue``, in this order, and what they are split into.

    Lanes may do so at once, each with scratch of its own. What they write belongs to the clusters
    that they took, and what they find doesn't depend on which lane took which.

    Args:
        scene: see ``Scene``; its ``parts`` grow where clusters are split.
        queue: (n,) int32, cluster numbers.
        taken: (1,) int64, how many of the queue are taken; counts on beyond n.
        enough: return after so many.
        known_state: (K,) int8, the states that all lanes may rely on: a copy of ``found.state``.
        guess_box, guess_shift: (G, 2, 3) and (G, 2) float32: boxes and
            expected displacements over T, tried as further hypotheses; metres.
        ahead: what was computed before, for clusters as they are before splitting.
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
            sibling = scene.parts.sibling[c]
            if sibling >= 0 and found.state[sibling] == STATIC:
                merge(scene.parts, c)
                measure(scene.source, scene.source_points, scene.matched, scene.parts, c)
            kind = candidate_kind(scene, c)
            found.pivot[c] = scene.parts.centre[c]
            if kind == NO_CANDIDATE:
                continue
            active = kind == ACTIVE
            if _register(
                scene, c, active, known_state, guess_box, guess_shift, ahead, scratch, found
            ):
                stack[height] = c
                stack[height + 1] = scratch.fresh[0]
                height += 2
                scratch.fresh[0] += LANES


@kernel
def _register(
    scene: Scene,
    c: int,
    active: bool,
    known_state: NDArray[np.int8],
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    ahead: StepsAhead,
    scratch: Scratch,
    found: Motions,
) -> bool:
    """Find the motion of cluster c. Returns True if it was split instead: register both parts."""
    parts, sample, candidate = scene.parts, scratch.sample, scratch.candidate
    voxels = parts.end[c] - parts.begin[c]
    searched, count, borrows = prepare(
        scene, c, active, known_state, guess_box, guess_shift, scratch, found
    )
    found.support[c] = sample.size[0]
    if sample.size[1] < MIN_TARGET:
        return False
    solutions, last = register_hypotheses(scene, c, searched, count, ahead, scratch, found)
    borrowed = last if borrows else 0
    best, split_by = _best_solution(scene, c, solutions, scratch, found)
    large = sampled_densely(scene, c, active) and voxels > MAX_SOURCE
    if large:
        rival = _rival(candidate, scratch.energy, solutions)
        earned = rival > 0 and _large_earns_motion(scene, c, candidate[rival], scratch, known_state)
        best = rival if earned else best
    else:
        earned = _earns_motion(candidate, best, scratch.energy, active)
    _, loss = disagreement(sample.size[0], scratch.forward[0], scratch.forward[best])
    one_body = earned and loss < MAX_LOSS * sample.size[0]
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
    if earned:
        _refine(scene, c, candidate[best], scratch, found)
        if not _shown(scene, c, best, large, scratch, found):
            found.state[c] = STATIC
    elif borrowed > 0 and scratch.energy[borrowed, 0] < 0.9 * scratch.energy[0, 0]:
        sibling = parts.sibling[c]
        found.state[c] = PROPAGATED
        found.motion[c] = found.motion[sibling]
        found.pivot[c] = found.pivot[sibling]
    return False


@kernel
def _best_solution(
    scene: Scene, c: int, solutions: int, scratch: Scratch, found: Motions
) -> tuple[int, int]:
    """Score no motion and all solutions.

    Returns:
        The one of least energy; and the one that best tells two bodies apart, 0 for none.
    """
    sample, energy = scratch.sample, scratch.energy
    for h in range(solutions + 1):
        costs(
            sample,
            scratch.matching,
            scratch.candidate[h],
            scene.parts.centre[c],
            scene.image,
            scratch.forward[h],
            scratch.backward[h],
        )
    energies(sample, solutions + 1, scratch.candidate, scratch.forward, scratch.backward, energy)
    best = 0
    split_by = 0
    split_score = 0.0
    for h in range(solutions + 1):
        if energy[h, 0] < energy[best, 0]:
            best = h
        gain, loss = disagreement(sample.size[0], scratch.forward[0], scratch.forward[h])
        if worth_splitting(gain, loss) and gain - 0.2 * loss > split_score:
            split_by = h
            split_score = gain - 0.2 * loss
    found.energy[c, 0] = energy[best, 0]
    found.energy[c, 1] = energy[0, 0]
    return best, split_by


@kernel
def _earns_motion(
    candidate: NDArray[np.float64], best: int, energy: NDArray[np.float64], active: bool
) -> bool:
    """``earns_motion`` of the best candidate."""
    return earns_motion(
        np.hypot(candidate[best, 0], candidate[best, 1]),
        abs(candidate[best, 2]),
        energy[best, 0],
        energy[best, 1],
        energy[0, 0],
        energy[0, 1],
        active,
    )


@kernel
def _refine(scene: Scene, c: int, q: NDArray[np.float64], scratch: Scratch, found: Motions) -> None:
    """GICP from the accepted motion ``q`` (4,); the cluster is registered unless it ends at rest
    or beyond the search."""
    refined = scratch.candidate[0]
    refined[:] = q
    found.iterations[c] += generalised_icp(
        scratch.sample, scratch.matching, refined, scratch.a, scratch.b
    )
    if np.hypot(refined[0] - q[0], refined[1] - q[1]) < 0.4:
        q[:] = refined
    if MIN_LENGTH < np.hypot(q[0], q[1]) <= 1.05 * scene.field.reach * STEP:
        found.state[c] = REGISTERED
        found.motion[c] = q


@kernel
def _shown(scene: Scene, c: int, best: int, large: bool, scratch: Scratch, found: Motions) -> bool:
    """Whether the refined motion of cluster c shows in its shape, or at ends that were seen.

    Args:
        best: the accepted candidate. large: it was judged on the fine sample, as its second.
    """
    seen = observability(scratch.matching, scratch.sample.size[0], scratch.candidate[best])
    if seen >= UNOBSERVABLE:
        return True
    centre, image = scene.parts.centre[c], scene.image
    if large:
        forward, backward = scratch.fine_forward, scratch.fine_backward
        return ends_show(
            scratch.fine_sample, centre, image, forward[0], forward[1], backward[0], backward[1]
        )
    forward, backward = scratch.forward, scratch.backward
    return ends_show(
        scratch.sample, centre, image, forward[0], forward[best], backward[0], backward[best]
    )


@kernel
def _rival(candidate: NDArray[np.float64], energy: NDArray[np.float64], count: int) -> int:
    """The best of the candidates that move, unless it is clearly worse than no motion: 0."""
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
    known_state: NDArray[np.int8],
) -> bool:
    """Whether a large cluster moves by ``motion`` (4,), judged on all its voxels."""
    sample, matching = scratch.fine_sample, scratch.fine_matching
    sample_cluster(scene, c, True, sample)
    reach = 0.5 + max(abs(motion[0]), abs(motion[1]))
    sample_surroundings(scene, c, reach, True, known_state, sample)
    if sample.size[1] < MIN_TARGET:
        return False
    forward, backward, energy = scratch.fine_forward, scratch.fine_backward, scratch.fine_energy
    candidate = scratch.fine_candidate  # the first is no motion
    candidate[1] = motion
    centre = scene.parts.centre[c]
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
