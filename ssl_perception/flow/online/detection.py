"""Detection of moving clusters by the solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FlowConfig
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.online.boxes import corners
from ssl_perception.flow.online.tracking import PredictedTrack
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.flow.segmentation import moving_candidates, moving_clusters
from ssl_perception.flow.solvers.rigid_cluster import Guesses, cluster_flow
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.extras import needs_extra
from ssl_perception.types import FloatArray, PointCloud


@dataclass(frozen=True, eq=False)
class ClusterDetection:
    """A cluster that the solver found moving, not yet validated.

    Attributes:
        indices: (n,) its points.
        velocity: (n, 3) float32, m/s over ground; mean_velocity: (3,).
        lower, upper: (3,) corners of its box, metres.
        flat: all of it lies low above the ground.
    """

    indices: NDArray[np.intp]
    velocity: FloatArray
    mean_velocity: FloatArray
    lower: FloatArray
    upper: FloatArray
    flat: bool = False


@dataclass(frozen=True, eq=False)
class Detections:
    """The solver's result on a sweep's obstacles.

    Attributes:
        clusters: that move.
        confidence: (N,).
        iterations, converged: as of ``SceneFlow``.
        label: (N,) int32, cluster of each point, moving or not; None: the solver has none.
    """

    clusters: list[ClusterDetection]
    confidence: FloatArray
    iterations: int
    converged: bool
    label: NDArray[np.int32] | None = None


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
            source, target, options.rigid_cluster, deadline, guesses_of(tracks), workspace
        )
        flow, labels = solved.flow, np.where(solved.flow.moving, solved.label, -1)
        if options.method == "neural_prior":
            with needs_extra("flow method neural_prior"):
                from ssl_perception.flow.solvers.neural_prior import deform

            flow = deform(source, target, flow, options.neural_prior, deadline, seed=0)
        velocity = flow.flow / np.float32(interval)
        clusters = clusters_of(source, velocity, labels)
        return Detections(clusters, flow.confidence, flow.iterations, flow.converged, solved.label)

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
    clusters = clusters_of(source, flow_of_all / np.float32(interval), labels)
    return Detections(clusters, confidence, solved_part.iterations, solved_part.converged)


def guesses_of(tracks: list[PredictedTrack]) -> Guesses:
    """The tracks' boxes and velocities, as hypotheses for the solver."""

    def stack(rows: list[NDArray[np.float64]]) -> FloatArray:
        return np.array(rows, np.float32).reshape(-1, 3)

    return Guesses(
        stack([track.lower for track in tracks]),
        stack([track.upper for track in tracks]),
        stack([track.velocity for track in tracks]),
    )


def clusters_of(
    source: PointCloud, velocity: FloatArray, labels: NDArray[np.integer]
) -> list[ClusterDetection]:
    """One detection per label >= 0; (N, 3) velocity, m/s, and (N,) labels."""
    moving = np.flatnonzero(labels >= 0)
    moving = moving[np.argsort(labels[moving], kind="stable")]
    if len(moving) == 0:
        return []
    ends = np.flatnonzero(np.diff(labels[moving])) + 1
    clusters = []
    for indices in np.split(moving, ends):
        own = velocity[indices]
        box = corners(source.points[indices])
        clusters.append(ClusterDetection(indices, own, own.mean(axis=0), *box))
    return clusters
