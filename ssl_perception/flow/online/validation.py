"""Validation of detections by free space, the ground and tracks; parts of one body together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.online.boxes import corners
from ssl_perception.flow.online.detection import ClusterDetection
from ssl_perception.flow.online.ground_surface import BURIED, FLAT, GroundSurface, find_standing
from ssl_perception.flow.online.motion_evidence import FreeSpaceVotes, MotionEvidence
from ssl_perception.flow.online.tracking import PredictedTrack
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, PointCloud

BLUR = 0.4  # m: beams are too wide to show that what is just beside an object is free
SAME_BODY = 0.5  # m between parts of one body
SAME_SPEED = 1.0  # m/s
CONFIRMED_HITS = 2  # sweeps after which a track supports its next detection
TRACK_SPEED = 2.0  # m/s by which a detection may differ from the track that supports it
HOLD_MARGIN = 0.1  # m around the predicted box of a track that isn't found
MIN_HELD = 8  # points in it

Body = list[ClusterDetection]


def validate(
    clusters: Sequence[ClusterDetection],
    source: PointCloud,
    surface: GroundSurface,
    evidence: MotionEvidence,
    tracks: Sequence[PredictedTrack],
) -> list[Body]:
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
    standing = [
        part for cluster in clusters if (part := _standing(cluster, source, surface)) is not None
    ]
    confirmed = [track for track in tracks if track.hits >= CONFIRMED_HITS]
    tracked = np.any(_continue(standing, confirmed), axis=1).tolist()
    validated: Body = []
    consistent: Body = []
    for cluster, votes, supported in zip(
        standing, _votes(standing, source, evidence), tracked, strict=True
    ):
        if evidence.validated(votes, _displacement(cluster, evidence.span)):
            validated.append(cluster)
        elif evidence.consistent(votes) and not (cluster.flat and votes.stayed > votes.moved):
            (validated if supported else consistent).append(cluster)
    validated.sort(key=lambda cluster: -len(cluster.indices))
    return _bodies(validated, consistent)


def held(
    tracks: Sequence[PredictedTrack],
    bodies: Sequence[Body],
    source: PointCloud,
    free: BoolArray,
    surface: GroundSurface,
    evidence: MotionEvidence,
) -> list[Body]:
    """Confirmed tracks that no body continues, where the beams show that they go on as they were.

    Args:
        tracks: predicted to this sweep.
        bodies: found in it.
        source: its obstacles.
        free: (N,) which belong to no body.
        surface, evidence: as for ``validate``; here votes of the sweeps before are needed.
    """
    confirmed = [track for track in tracks if track.hits >= CONFIRMED_HITS]
    parts = [part for body in bodies for part in body]
    continued = np.any(_continue(parts, confirmed), axis=0).tolist()
    found: Body = []
    for track, known in zip(confirmed, continued, strict=True):
        if known:
            continue
        low, high = track.lower - HOLD_MARGIN, track.upper + HOLD_MARGIN
        inside = np.flatnonzero(_in_box(source.points, free, low, high))
        if len(inside) < MIN_HELD:
            continue
        velocity = np.tile(track.velocity.astype(np.float32), (len(inside), 1))
        box = corners(source.points[inside])
        part = _standing(ClusterDetection(inside, velocity, velocity[0], *box), source, surface)
        if part is not None and not part.flat:
            found.append(part)
    votes = _votes(found, source, evidence)
    return [
        [part]
        for part, cast in zip(found, votes, strict=True)
        if evidence.validated(cast, _displacement(part, evidence.span))
    ]


def _votes(
    clusters: Sequence[ClusterDetection], source: PointCloud, evidence: MotionEvidence
) -> list[FreeSpaceVotes]:
    return evidence.count(
        [(source.points[c.indices] - source.origin, c.velocity) for c in clusters]
    )


def _standing(
    cluster: ClusterDetection, source: PointCloud, surface: GroundSurface
) -> ClusterDetection | None:
    """The detection without low points that have nothing of it above them; None: it is below the
    ground, a mirror image."""
    rays = source.points[cluster.indices] - source.origin
    stands = np.ones(len(rays), np.bool_)
    kind = find_standing(rays, surface, stands)
    if kind == BURIED:
        return None
    if kind == FLAT:
        return replace(cluster, flat=True)
    if stands.all():
        return cluster
    kept, velocity = cluster.indices[stands], cluster.velocity[stands]
    return ClusterDetection(kept, velocity, velocity.mean(axis=0), *corners(source.points[kept]))


def _displacement(cluster: ClusterDetection, seconds: float) -> float:
    """How far a detection gets in a time, in lengths of its box along its motion, less ``BLUR``."""
    motion = np.abs(cluster.mean_velocity[:2])
    speed = float(np.hypot(motion[0], motion[1]))
    if speed == 0.0:
        return 0.0
    length = float((cluster.upper - cluster.lower)[:2] @ motion) / speed
    return max(speed * seconds - BLUR, 0.0) / max(length, 0.1)


def _bodies(validated: Body, consistent: Body) -> list[Body]:
    """Validated detections in their order, each with the first body that it belongs to, or as a new
    one; then the consistent ones that belong to a body."""
    parts = [*validated, *consistent]
    if not parts:
        return []
    lower, upper, velocity = _boxes(parts)
    same = _close(lower, upper, lower, upper, SAME_BODY) & _alike(velocity, velocity, SAME_SPEED)
    body_of = np.full(len(parts), -1)
    bodies: list[Body] = []
    for k, part in enumerate(parts):
        known = body_of[same[k] & (body_of >= 0)]
        if len(known):
            body_of[k] = known.min()
            bodies[body_of[k]].append(part)
        elif k < len(validated):
            body_of[k] = len(bodies)
            bodies.append([part])
    return bodies


def _continue(
    clusters: Sequence[ClusterDetection], tracks: Sequence[PredictedTrack]
) -> NDArray[np.bool_]:
    """(clusters, tracks): whether the track predicts the detection."""
    if not clusters or not tracks:
        return np.zeros((len(clusters), len(tracks)), np.bool_)
    lower, upper, velocity = _boxes(clusters)
    low, high = (np.array([getattr(t, side) for t in tracks]) for side in ("lower", "upper"))
    predicted = np.array([track.velocity for track in tracks])
    return _close(lower, upper, low, high, 0.0) & _alike(velocity, predicted, TRACK_SPEED)


def _boxes(clusters: Sequence[ClusterDetection]) -> tuple[NDArray, NDArray, NDArray]:
    """(K, 3) lower and upper corners, and mean velocities."""
    lower = np.array([cluster.lower for cluster in clusters])
    upper = np.array([cluster.upper for cluster in clusters])
    return lower, upper, np.array([cluster.mean_velocity for cluster in clusters])


def _close(
    lower: NDArray, upper: NDArray, low: NDArray, high: NDArray, gap: float
) -> NDArray[np.bool_]:
    """(K, L) whether two boxes are no farther than ``gap`` apart on any axis."""
    near = (lower[:, None] - gap <= high) & (low - gap <= upper[:, None])
    return np.asarray(near.all(axis=-1))


def _alike(a: NDArray, b: NDArray, most: float) -> NDArray[np.bool_]:
    """(K, L) whether two velocities differ by less than ``most``, m/s."""
    alike: NDArray[np.bool_] = np.linalg.norm(a[:, None] - b, axis=-1) < most
    return alike


@kernel
def _in_box(
    points: NDArray[np.float32],
    chosen: BoolArray,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
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
