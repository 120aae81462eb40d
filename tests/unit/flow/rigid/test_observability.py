"""Given a flat surface, what moves it: an end that moved, not the edge of an occluder."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ssl_perception.flow.solvers.rigid_cluster import ClusterFlow, cluster_flow
from ssl_perception.types import PointCloud

SENSOR = np.array([0.0, 0.0, 1.8])
WALL, VEHICLE = 0, 1
# kind; horizontal ends, m; lowest and highest point, m
Face = tuple[int, tuple[float, float], tuple[float, float], tuple[float, float]]


def sides(kind: int, centre: tuple[float, float], length: float, height: float = 3.5) -> list[Face]:
    """The four upright sides of a vehicle, 2.2 m wide."""
    x, y = centre
    corners = [
        (x + a * length / 2, y + b * 1.1) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    ]
    pairs = itertools.pairwise(corners)
    return [(kind, start, end, (0.3, height)) for start, end in pairs]


def scan(faces: list[Face], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) points where 64 beams first meet upright faces, and (N,) the kind of each."""
    azimuth = np.deg2rad(np.arange(0.0, 180.0, 0.25) + rng.uniform(0.0, 0.25))
    azimuth, elevation = np.meshgrid(azimuth, np.deg2rad(np.linspace(-25.0, 15.0, 64)))
    ray = np.stack([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)], axis=-1).reshape(-1, 3)
    nearest, kind = np.full(len(ray), np.inf), np.full(len(ray), -1)
    for of_kind, start, end, (low, high) in faces:
        first, along = np.subtract(start, SENSOR[:2]), np.subtract(end, start)
        across = ray[:, 1] * along[0] - ray[:, 0] * along[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (first[1] * along[0] - first[0] * along[1]) / across
            share = (first[1] * ray[:, 0] - first[0] * ray[:, 1]) / across
            z = SENSOR[2] + distance * ray[:, 2]
            hit = (distance > 0.5) & (distance < nearest) & (share >= 0) & (share <= 1)
            hit &= (z >= low) & (z <= high)
        nearest[hit], kind[hit] = distance[hit], of_kind
    seen = kind >= 0
    noisy = nearest[seen] + rng.normal(0.0, 0.01, seen.sum())
    return (SENSOR + ray[seen] * noisy[:, None]).astype(np.float32), kind[seen]


def flow_between(
    before: list[Face], after: list[Face], seed: int
) -> tuple[ClusterFlow, np.ndarray, np.ndarray]:
    """The solver's answer, and the points and their kinds."""
    rng = np.random.default_rng(seed)
    parked = [
        side
        for x in (-30, -22, 22, 30)
        for y in (6, 14)
        for side in sides(WALL + 2, (x, y), 4.2, 1.5)
    ]
    points, kind = scan(before + parked, rng)
    target, _ = scan(after + parked, rng)
    origin = SENSOR.astype(np.float32)
    clouds = (
        PointCloud(points, None, 0.0, "base", origin),
        PointCloud(target, None, 0.1, "base", origin),
    )
    return cluster_flow(*clouds), points, kind


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_wall_behind_the_gap_between_two_trucks_does_not_slide_along(seed: int) -> None:
    """The trucks move 1 m, the piece of wall that is seen between them 2 m, within its plane."""
    wall: list[Face] = [(WALL, (-15.0, 10.0), (15.0, 10.0), (0.0, 2.4))]

    def trucks(x: float) -> list[Face]:
        return sides(VEHICLE, (x - 4.5, 5.0), 8.0) + sides(VEHICLE, (x + 4.5, 5.0), 8.0)

    found, points, kind = flow_between(wall + trucks(0.0), wall + trucks(1.0), seed)
    gap = (kind == WALL) & (np.abs(points[:, 0]) < 2.0)
    assert gap.sum() > 400
    assert not found.flow.moving[kind == WALL].any()
    assert found.flow.moving[kind == VEHICLE].any()


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_a_flat_side_moves_where_its_ends_are_seen_to(shift: float) -> None:
    """Nothing but one side of a truck is seen, which moves within its own plane."""

    def side(x: float) -> list[Face]:
        return [(VEHICLE, (x - 3.0, 6.0), (x + 3.0, 6.0), (0.3, 3.0))]

    found, _, kind = flow_between(side(0.0), side(shift), 0)
    truck = kind == VEHICLE
    assert found.flow.moving[truck].all()
    assert found.flow.flow[truck].mean(axis=0) == pytest.approx([shift, 0.0, 0.0], abs=0.05)
