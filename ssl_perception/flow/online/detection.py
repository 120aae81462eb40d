"""Detection of moving clusters by the solver, and their validation by free space and tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FlowConfig
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.online.boxes import corners
from ssl_perception.flow.online.motion_evidence import MotionEvidence
from ssl_perception.flow.online.tracking import PredictedTrack
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.flow.segmentation import moving_candidates, moving_clusters
from ssl_perception.flow.solvers.rigid_cluster import Guesses, cluster_flow
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import FloatArray, PointCloud

SAME_BODY = 0.5  # m between parts of one body
SAME_SPEED = 1.0  # m/s
CONFIRMED_HITS = 2  # sweeps after which a track supports its next detection
TRACK_SPEED = 2.0  # m/s by which a detection may differ from the track that supports it


@dataclass(frozen=True, eq=False)
class ClusterDetection:
    """A cluster that the solver found moving, not yet validated.

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
class Detections:
    """The solver's result on a sweep's obstacles: moving clusters, and (N,) confidence."""

    clusters: list[ClusterDetection]
    confidence: FloatArray
    iterations: int
    converged: bool


def detect(
    source: PointCloud,
    target: PointCloud,
    tracks: list[PredictedTrack],
    options: FlowConfig,
    deadline: Deadline,
    workspace: Workspace,
) -> Detections:
    """Run the configured solver from the newest sweep to the one before.

    Args:
        source, target: ground-free, in the newest sweep's frame.
        tracks: predictions; ``rigid_cluster`` tries their motions beside its own hypotheses.
        options: which solver, and its settings.
        deadline: when to stop.
        workspace: kept between sweeps.
    """
    interval = target.stamp - source.stamp
    if len(source) == 0 or len(target) == 0:
        return Detections([], np.zeros(len(source), np.float32), 0, True)
    if options.method in ("rigid_cluster", "neural_prior"):
        solved = cluster_flow(
            source, target, options.rigid_cluster, deadline, _guesses(tracks), workspace
        )
        flow, labels = solved.flow, np.where(solved.flow.moving, solved.label, -1)
        if options.method == "neural_prior":
            from ssl_perception.flow.solvers.neural_prior import deform  # imports torch

            flow = deform(source, target, flow, options.neural_prior, deadline, seed=0)
        clusters = _cluster_detections(source, flow.flow, labels, interval)
        return Detections(clusters, flow.confidence, flow.iterations, flow.converged)

    confidence = np.ones(len(source), np.float32)
    of_source, of_target = moving_candidates(source, target, options.rigid_cluster)
    confidence[of_source] = 0.0
    if not of_source.any() or not of_target.any():
        return Detections([], confidence, 0, True)
    remaining = deadline.remaining
    if remaining <= 0.0:
        return Detections([], confidence, 0, False)
    solved_part = estimate_flow(
        source.select(of_source),
        target.select(of_target),
        options.method,
        None if np.isinf(remaining) else remaining,
        options=options,
    )
    confidence[of_source] = solved_part.confidence
    flow_of_all = np.zeros_like(source.points)
    flow_of_all[of_source] = solved_part.flow
    moving = np.zeros(len(source), np.bool_)
    moving[of_source] = solved_part.moving
    labels = moving_clusters(source, moving)
    clusters = _cluster_detections(source, flow_of_all, labels, interval)
    return Detections(clusters, confidence, solved_part.iterations, solved_part.converged)


def _guesses(tracks: list[PredictedTrack]) -> Guesses:
    def stack(rows: list[NDArray[np.float64]]) -> FloatArray:
        return np.array(rows, np.float32).reshape(-1, 3)

    return Guesses(
        stack([track.lower for track in tracks]),
        stack([track.upper for track in tracks]),
        stack([track.velocity for track in tracks]),
    )


def _cluster_detections(
    source: PointCloud, flow: FloatArray, labels: NDArray[np.integer], interval: float
) -> list[ClusterDetection]:
    """One detection per label >= 0."""
    moving = np.flatnonzero(labels >= 0)
    moving = moving[np.argsort(labels[moving], kind="stable")]
    if len(moving) == 0:
        return []
    ends = np.flatnonzero(np.diff(labels[moving])) + 1
    clusters = []
    for indices in np.split(moving, ends):
        points = source.points[indices]
        velocity = flow[indices] / np.float32(interval)
        clusters.append(
            ClusterDetection(indices, velocity, velocity.mean(axis=0), *corners(points))
        )
    return clusters


def validate(
    clusters: list[ClusterDetection],
    source: PointCloud,
    evidence: MotionEvidence,
    tracks: list[PredictedTrack],
) -> list[list[ClusterDetection]]:
    """The moving bodies: validated detections, parts of one body together.

    A detection is validated by the free-space votes. Where these are too few but consistent with
    its motion, a track that predicts it, or a validated detection beside it with the same velocity,
    validates it.
    """
    validated: list[ClusterDetection] = []
    consistent: list[ClusterDetection] = []
    counted = evidence.count(
        [(source.points[c.indices] - source.origin, c.velocity) for c in clusters]
    )
    for cluster, votes in zip(clusters, counted, strict=True):
        if evidence.validated(votes):
            validated.append(cluster)
        elif evidence.consistent(votes):
            (validated if _tracked(cluster, tracks) else consistent).append(cluster)
    bodies: list[list[ClusterDetection]] = []
    for cluster in sorted(validated, key=lambda c: -len(c.indices)):
        for body in bodies:
            if any(_same_body(cluster, part) for part in body):
                body.append(cluster)
                break
        else:
            bodies.append([cluster])
    for cluster in consistent:
        for body in bodies:
            if any(_same_body(cluster, part) for part in body):
                body.append(cluster)
                break
    return bodies


def _tracked(cluster: ClusterDetection, tracks: list[PredictedTrack]) -> bool:
    """Whether a confirmed track predicts the detection."""
    return any(
        track.hits >= CONFIRMED_HITS
        and (track.lower <= cluster.upper).all()
        and (cluster.lower <= track.upper).all()
        and np.linalg.norm(track.velocity - cluster.mean_velocity) < TRACK_SPEED
        for track in tracks
    )


def _same_body(a: ClusterDetection, b: ClusterDetection) -> bool:
    near = (a.lower - SAME_BODY <= b.upper).all() and (b.lower - SAME_BODY <= a.upper).all()
    apart = np.linalg.norm(a.mean_velocity - b.mean_velocity)
    return bool(near and apart < SAME_SPEED)
