"""Validation: what makes a detection a mover, and what lies about it on the ground."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.flow.online.boxes import corners
from ssl_perception.flow.online.detection import ClusterDetection
from ssl_perception.flow.online.ground_surface import GroundSurface, fit_surface
from ssl_perception.flow.online.motion_evidence import FreeSpaceVotes, MotionEvidence
from ssl_perception.flow.online.validation import validate
from ssl_perception.types import FloatArray, PointCloud

GROUND = -1.7


def road() -> FloatArray:
    """Ground every 0.25 m, 40 by 40 m."""
    axis = np.arange(-20.0, 20.0, 0.25)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))
    return np.stack([x, y, np.full_like(x, GROUND)], axis=1).astype(np.float32)


def surface() -> GroundSurface:
    points = road()
    return fit_surface(points, np.ones(len(points), np.bool_))


def cyclist(at: float) -> FloatArray:
    """A board 1.6 m long, 1.7 m high, from 0.05 m above the ground on."""
    x, z = (p.ravel() for p in np.meshgrid(np.arange(0, 1.6, 0.05), np.arange(0.05, 1.7, 0.1)))
    return np.stack([x + at, np.full_like(x, 3.0), z + GROUND], axis=1).astype(np.float32)


def ring() -> FloatArray:
    """What a segmentation left over of a ground ring beside him, 0.15 m above the road."""
    y = np.arange(0.8, 2.9, 0.05)
    return np.stack([np.full_like(y, 8.5), y, np.full_like(y, GROUND + 0.15)], axis=1).astype(
        np.float32
    )


def cluster(points: FloatArray, first: int, speed: float) -> ClusterDetection:
    velocity = np.tile(np.array([speed, 0.0, 0.0], np.float32), (len(points), 1))
    indices = np.arange(first, first + len(points))
    return ClusterDetection(indices, velocity, velocity[0], *corners(points))


def seen(parts: list[FloatArray], stamp: float, evidence: MotionEvidence) -> None:
    """Add a sweep of a road, a wall behind, and these parts; what they hide isn't seen."""
    y = np.arange(-12.0, 12.0, 0.02)
    wall = np.concatenate(
        [
            np.stack([y, np.full_like(y, 9.0), np.full_like(y, z)], 1)
            for z in np.arange(-1.6, 3, 0.1)
        ]
    )
    evidence.add(np.concatenate([road(), wall.astype(np.float32), *parts]), stamp)
    evidence.move(np.eye(4))


@pytest.fixture
def evidence() -> MotionEvidence:
    """Five sweeps of a cyclist who rides along x at 4 m/s, past a ring that stays."""
    evidence = MotionEvidence()
    for k in range(5):
        seen([cyclist(6.0 + 0.4 * k), ring()], 0.1 * k, evidence)
    return evidence


def test_a_ground_ring_does_not_ride_along(evidence: MotionEvidence) -> None:
    him, beside = cyclist(7.6), ring()
    cloud = PointCloud(np.concatenate([him, beside]))
    parts = [cluster(him, 0, 4.0), cluster(beside, len(him), 4.0)]
    (body,) = validate(parts, cloud, surface(), evidence, [])
    found = np.concatenate([part.indices for part in body])
    assert found.max() < len(him) and len(found) > 0.9 * len(him)


def test_a_ring_in_one_cluster_with_him_is_cut_off(evidence: MotionEvidence) -> None:
    him, beside = cyclist(7.6), ring()
    points = np.concatenate([him, beside])
    (body,) = validate([cluster(points, 0, 4.0)], PointCloud(points), surface(), evidence, [])
    found = np.concatenate([part.indices for part in body])
    far = np.flatnonzero(points[:, 1] < 2.4)  # not beneath him
    assert len(far) > 20 and not np.isin(far, found).any()
    assert np.isin(np.arange(len(him)), found).all()


def test_a_mirror_image_is_no_mover(evidence: MotionEvidence) -> None:
    image = cyclist(7.6) - np.array([0.0, 0.0, 3.5], np.float32)
    assert validate([cluster(image, 0, 4.0)], PointCloud(image), surface(), evidence, []) == []


@pytest.mark.parametrize(
    ("moved", "stayed", "displacement", "proven"),
    [
        (120, 5, 5.0, True),
        (10, 8, 60.0, False),  # a sliver of wall that is said to fly 30 m/s
        (5, 20, 30.0, False),
        (60, 65, 0.5, True),  # the side of a van: most of its place is its own
        (30, 95, 0.5, False),
        (20, 100, 0.1, True),
    ],
)
def test_what_moves_by_its_length_leaves_its_place(
    moved: int, stayed: int, displacement: float, proven: bool
) -> None:
    votes = FreeSpaceVotes(moved + stayed, moved, stayed, confirmed=50, contradicted=0, asked=60)
    assert MotionEvidence().validated(votes, displacement) is proven


def votes(moved: int, confirmed: int, contradicted: int, stayed: int = 0) -> FreeSpaceVotes:
    return FreeSpaceVotes(100, moved, stayed, confirmed, contradicted, asked=300)


@pytest.mark.parametrize(
    ("displacement", "confirmed", "proven"),
    [
        (6.5, 16, False),  # a dozen points that are said to fly 25 m/s, seen on half of their way
        (6.5, 18, True),
        (2.0, 16, True),  # a walker that comes out from behind a car
    ],
)
def test_what_has_come_far_was_seen_on_its_way(
    displacement: float, confirmed: int, proven: bool
) -> None:
    votes = FreeSpaceVotes(12, 9, 3, confirmed, contradicted=0, asked=36)
    assert MotionEvidence().validated(votes, displacement) is proven


@pytest.mark.parametrize(
    ("cast", "validated", "consistent"),
    [
        (votes(50, 40, 0), True, True),
        (votes(0, 40, 0), False, True),  # nothing has moved
        (votes(11, 40, 0), False, True),  # too little has: 12 % must
        (votes(12, 40, 0), True, True),
        (votes(50, 30, 10), True, True),  # a quarter contradicted
        (votes(50, 30, 11), False, False),  # more: it can't have come that way
        (votes(50, 0, 40), False, False),
        (votes(50, 0, 0), False, False),  # it was seen nowhere before
    ],
)
def test_moved_and_contradicted_votes_decide(
    cast: FreeSpaceVotes, validated: bool, consistent: bool
) -> None:
    evidence = MotionEvidence()
    assert evidence.validated(cast, 0.0) == validated
    assert evidence.consistent(cast) == consistent


def test_a_motion_that_the_beams_contradict_is_none(evidence: MotionEvidence) -> None:
    """He rides at 4 m/s; at -8 m/s he would have come from where the beams passed through."""
    him = cyclist(7.6)
    cloud = PointCloud(him)
    assert len(validate([cluster(him, 0, 4.0)], cloud, surface(), evidence, [])) == 1
    assert validate([cluster(him, 0, -8.0)], cloud, surface(), evidence, []) == []
    assert evidence.count([(him, cluster(him, 0, -8.0).velocity)])[0].contradicted > 0


def test_what_stands_has_not_moved(evidence: MotionEvidence) -> None:
    """A wall seen in every sweep is no mover, whatever velocity the solver gave it."""
    z, y = (p.ravel() for p in np.meshgrid(np.arange(-1.6, 0, 0.1), np.arange(-2.0, 2.0, 0.1)))
    wall = np.stack([y, np.full_like(y, 9.0), z], axis=1).astype(np.float32)
    (cast,) = evidence.count([(wall, cluster(wall, 0, 2.0).velocity)])
    assert cast.moved == 0 and cast.stayed > 0
    assert validate([cluster(wall, 0, 2.0)], PointCloud(wall), surface(), evidence, []) == []
