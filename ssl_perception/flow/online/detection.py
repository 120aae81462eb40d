"""Detection of moving clusters by the solver, and their validation by free space and tracks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FlowConfig
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.online.boxes import corners
from ssl_perception.flow.online.ground_surface import BELOW, GroundSurface, heights_above
from ssl_perception.flow.online.motion_evidence import MotionEvidence
from ssl_perception.flow.online.tracking import PredictedTrack
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.flow.segmentation import moving_candidates, moving_clusters
from ssl_perception.flow.solvers.rigid_cluster import Guesses, cluster_flow
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray, PointCloud

LOW = 0.3  # m above the ground: kerbs, and what a ground ring may lie at
COLUMN = 0.3  # m, edge of the cells in which something stands above a low point
BLUR = 0.4  # m
SAME_BODY = 0.5  # m between parts of one body
SAME_SPEED = 1.0  # m/s
CONFIRMED_HITS = 2  # sweeps after which a track supports its next detection
HOLD_MARGIN = 0.1  # m around the predicted box of a track that isn't found
MIN_HELD = 8  # points in it
TRACK_SPEED = 2.0  # m/s by which a detection may differ from the track that supports it


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
            from ssl_perception.flow.solvers.neural_prior import deform  # imports torch

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


def validate(
    clusters: list[ClusterDetection],
    source: PointCloud,
    surface: GroundSurface,
    evidence: MotionEvidence,
    tracks: list[PredictedTrack],
) -> list[list[ClusterDetection]]:
    """The moving bodies: validated detections, parts of one body together.

    A detection is validated by the free-space votes. Where these are too few but consistent with
    its motion, a track that predicts it, or a validated detection beside it with the same velocity,
    validates it. Neither speaks for what lies flat on the ground: a ring of ground has the
    surroundings, and the motion, of whatever stands on it. Flat things need votes of their own, and
    of a body only the low points count that have some of it above them.

    Args:
        clusters: detections in ``source``.
        surface: of the ground, seen from the sensor.
        evidence, tracks: of the sweeps before.
    """
    clusters = [
        part for cluster in clusters if (part := _off_ground(cluster, source, surface)) is not None
    ]
    validated: list[ClusterDetection] = []
    consistent: list[ClusterDetection] = []
    counted = evidence.count(
        [(source.points[c.indices] - source.origin, c.velocity) for c in clusters]
    )
    for cluster, votes in zip(clusters, counted, strict=True):
        displacement = _displacement(cluster, evidence.span)
        if evidence.validated(votes, displacement):
            validated.append(cluster)
        elif evidence.consistent(votes) and not (cluster.flat and votes.stayed > votes.moved):
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


def _off_ground(
    cluster: ClusterDetection, source: PointCloud, surface: GroundSurface
) -> ClusterDetection | None:
    """The detection without low points that have nothing of it above them; None: it is below the
    ground, a mirror image."""
    points = source.points[cluster.indices]
    height = heights_above(surface, points - source.origin)
    if np.median(height) < -BELOW:
        return None
    high = ~(height < LOW)
    if high.all() or not high.any():
        return replace(cluster, flat=not high.any())
    stands = high | _beneath(points, high)
    kept = cluster.indices[stands]
    velocity = cluster.velocity[stands]
    return ClusterDetection(kept, velocity, velocity.mean(axis=0), *corners(points[stands]))


def _beneath(points: FloatArray, high: BoolArray) -> BoolArray:
    """Which points (N, 3) have one of the ``high`` (N,) above them, give or take a cell."""
    cells = np.floor((points[:, :2] - points[:, :2].min(axis=0)) / COLUMN).astype(np.intp) + 1
    taken = np.zeros(cells.max(axis=0) + 2, np.bool_)
    taken[cells[high, 0], cells[high, 1]] = True
    around = np.zeros_like(taken)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            around |= np.roll(taken, (i, j), (0, 1))
    beneath: BoolArray = around[cells[:, 0], cells[:, 1]]
    return beneath


def _displacement(cluster: ClusterDetection, seconds: float) -> float:
    """How far a detection gets in a time, in lengths of its box along its motion.

    Less ``BLUR``: beams are too wide to show that what is just beside an object is free.
    """
    motion = np.abs(cluster.mean_velocity[:2])
    speed = float(np.hypot(motion[0], motion[1]))
    if speed == 0.0:
        return 0.0
    length = float((cluster.upper - cluster.lower)[:2] @ motion) / speed
    return max(speed * seconds - BLUR, 0.0) / max(length, 0.1)


def held(
    tracks: list[PredictedTrack],
    bodies: list[list[ClusterDetection]],
    source: PointCloud,
    free: BoolArray,
    surface: GroundSurface,
    evidence: MotionEvidence,
) -> list[list[ClusterDetection]]:
    """Confirmed tracks that no body continues, where the beams show that they go on as they were.

    Args:
        tracks: predicted to this sweep.
        bodies: found in it.
        source: its obstacles.
        free: (N,) which belong to no body.
        surface, evidence: as for ``validate``; here votes of the sweeps before are needed.
    """
    parts = [part for body in bodies for part in body]
    found = []
    for track in tracks:
        if track.hits < CONFIRMED_HITS or any(_continues(part, track) for part in parts):
            continue
        low, high = track.lower - HOLD_MARGIN, track.upper + HOLD_MARGIN
        inside = np.flatnonzero(_in_box(source.points, free, low, high))
        if len(inside) < MIN_HELD:
            continue
        velocity = np.tile(track.velocity.astype(np.float32), (len(inside), 1))
        box = corners(source.points[inside])
        whole = ClusterDetection(inside, velocity, velocity[0], *box)
        part = _off_ground(whole, source, surface)
        if part is not None and not part.flat:
            found.append(part)
    return [[part] for part in found if _proven(part, source, evidence)]


def _proven(part: ClusterDetection, source: PointCloud, evidence: MotionEvidence) -> bool:
    (votes,) = evidence.count([(source.points[part.indices] - source.origin, part.velocity)])
    return evidence.validated(votes, _displacement(part, evidence.span))


@kernel
def _in_box(
    points: FloatArray, chosen: BoolArray, low: NDArray[np.float64], high: NDArray[np.float64]
) -> BoolArray:
    """(N,) the chosen points between two corners."""
    inside = np.zeros(len(points), np.bool_)
    for p in range(len(points)):
        if chosen[p]:
            inside[p] = (
                low[0] <= points[p, 0] <= high[0]
                and low[1] <= points[p, 1] <= high[1]
                and low[2] <= points[p, 2] <= high[2]
            )
    return inside


def _continues(part: ClusterDetection, track: PredictedTrack) -> bool:
    near = (track.lower <= part.upper).all() and (part.lower <= track.upper).all()
    return bool(near and np.linalg.norm(track.velocity - part.mean_velocity) < TRACK_SPEED)


def _tracked(cluster: ClusterDetection, tracks: list[PredictedTrack]) -> bool:
    """Whether a confirmed track predicts the detection."""
    return any(track.hits >= CONFIRMED_HITS and _continues(cluster, track) for track in tracks)


def _same_body(a: ClusterDetection, b: ClusterDetection) -> bool:
    near = (a.lower - SAME_BODY <= b.upper).all() and (b.lower - SAME_BODY <= a.upper).all()
    apart = np.linalg.norm(a.mean_velocity - b.mean_velocity)
    return bool(near and apart < SAME_SPEED)
