"""What the solver claims to move, and what of it is believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FlowConfig
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.online.boxes import corners
from ssl_perception.flow.online.motion_evidence import Evidence
from ssl_perception.flow.online.tracking import Expected
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.flow.segmentation import moving_candidates, moving_clusters
from ssl_perception.flow.solvers.rigid_cluster import Guesses, cluster_flow
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import FloatArray, PointCloud

SAME_BODY = 0.5  # m between parts of one body
SAME_SPEED = 1.0  # m/s
TRUSTED_HITS = 2  # sweeps after which a track vouches for its next claim
TRACK_SPEED = 2.0  # m/s by which a claim may differ from the track that vouches for it


@dataclass(frozen=True, eq=False)
class Claim:
    """A cluster said to move.

    Attributes:
        indices: (n,) its points.
        velocity: (n, 3) float32, m/s over ground; mean_velocity: (3,).
        lower, upper: (3,) corners of its box, metres.
    """

    indices: NDArray[np.intp]
    velocity: FloatArray
    mean_velocity: FloatArray
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, eq=False)
class Claims:
    """All that the solver says of a sweep's obstacles: claims, and (N,) confidence per point."""

    claims: list[Claim]
    confidence: FloatArray
    iterations: int
    converged: bool


def find_claims(
    source: PointCloud,
    target: PointCloud,
    expected: list[Expected],
    options: FlowConfig,
    deadline: Deadline,
    workspace: Workspace,
) -> Claims:
    """Run the solver of choice from the newest sweep to the one before.

    Args:
        source, target: ground-free, in the newest sweep's frame.
        expected: what the tracks say; ``rigid_cluster`` tries it beside its own hypotheses.
        options: which solver, and its settings.
        deadline: when to stop.
        workspace: kept between sweeps.
    """
    interval = target.stamp - source.stamp
    if len(source) == 0 or len(target) == 0:
        return Claims([], np.zeros(len(source), np.float32), 0, True)
    if options.method in ("rigid_cluster", "neural_prior"):
        bends = options.method == "neural_prior"
        rigid = options.neural_prior.rigid if bends else options.rigid_cluster
        solved = cluster_flow(source, target, rigid, deadline, _guesses(expected), workspace)
        flow, labels = solved.flow, np.where(solved.flow.moving, solved.label, -1)
        if bends:
            from ssl_perception.flow.solvers.neural_prior import bend  # torch, for those who ask

            flow = bend(source, target, flow, options.neural_prior, deadline, seed=0)
        claims = _claims(source, flow.flow, labels, interval)
        return Claims(claims, flow.confidence, flow.iterations, flow.converged)

    confidence = np.ones(len(source), np.float32)
    of_source, of_target = moving_candidates(source, target)
    confidence[of_source] = 0.0
    if not of_source.any() or not of_target.any():
        return Claims([], confidence, 0, True)
    remaining = deadline.remaining
    if remaining <= 0.0:
        return Claims([], confidence, 0, False)
    solved_part = estimate_flow(
        source.select(of_source),
        target.select(of_target),
        options.method,
        None if np.isinf(remaining) else remaining,
        options=getattr(options, options.method),
    )
    confidence[of_source] = solved_part.confidence
    flow_of_all = np.zeros_like(source.points)
    flow_of_all[of_source] = solved_part.flow
    moving = np.zeros(len(source), np.bool_)
    moving[of_source] = solved_part.moving
    labels = moving_clusters(source, moving)
    claims = _claims(source, flow_of_all, labels, interval)
    return Claims(claims, confidence, solved_part.iterations, solved_part.converged)


def _guesses(expected: list[Expected]) -> Guesses:
    def stack(rows: list[NDArray[np.float64]]) -> FloatArray:
        return np.array(rows, np.float32).reshape(-1, 3)

    return Guesses(
        stack([e.lower for e in expected]),
        stack([e.upper for e in expected]),
        stack([e.velocity for e in expected]),
    )


def _claims(
    source: PointCloud, flow: FloatArray, labels: NDArray[np.integer], interval: float
) -> list[Claim]:
    """One claim per label >= 0."""
    moving = np.flatnonzero(labels >= 0)
    moving = moving[np.argsort(labels[moving], kind="stable")]
    if len(moving) == 0:
        return []
    ends = np.flatnonzero(np.diff(labels[moving])) + 1
    claims = []
    for indices in np.split(moving, ends):
        points = source.points[indices]
        velocity = flow[indices] / np.float32(interval)
        claims.append(Claim(indices, velocity, velocity.mean(axis=0), *corners(points)))
    return claims


def believe(
    claims: list[Claim], source: PointCloud, evidence: Evidence, expected: list[Expected]
) -> list[list[Claim]]:
    """The bodies that move: believed claims, parts of one body together.

    A claim is believed on the evidence of the beams; where that doesn't suffice but doesn't
    contradict it either, a track that expects it or a believed claim beside it, as fast, vouches
    for it.
    """
    believed: list[Claim] = []
    possible: list[Claim] = []
    heard = evidence.hear([(source.points[c.indices] - source.origin, c.velocity) for c in claims])
    for claim, testimony in zip(claims, heard, strict=True):
        if evidence.believed(testimony):
            believed.append(claim)
        elif evidence.possible(testimony):
            (believed if _vouched(claim, expected) else possible).append(claim)
    bodies: list[list[Claim]] = []
    for claim in sorted(believed, key=lambda c: -len(c.indices)):
        for body in bodies:
            if any(_same_body(claim, part) for part in body):
                body.append(claim)
                break
        else:
            bodies.append([claim])
    for claim in possible:
        for body in bodies:
            if any(_same_body(claim, part) for part in body):
                body.append(claim)
                break
    return bodies


def _vouched(claim: Claim, expected: list[Expected]) -> bool:
    return any(
        track.hits >= TRUSTED_HITS
        and (track.lower <= claim.upper).all()
        and (claim.lower <= track.upper).all()
        and np.linalg.norm(track.velocity - claim.mean_velocity) < TRACK_SPEED
        for track in expected
    )


def _same_body(a: Claim, b: Claim) -> bool:
    near = (a.lower - SAME_BODY <= b.upper).all() and (b.lower - SAME_BODY <= a.upper).all()
    apart = np.linalg.norm(a.mean_velocity - b.mean_velocity)
    return bool(near and apart < SAME_SPEED)
