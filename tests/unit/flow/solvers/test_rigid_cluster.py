"""Given this scene, this flow: the rigid-cluster solver on scenes made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import RigidClusterConfig
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.rigid.propagation import REGISTERED
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.flow.solvers.rigid_cluster import cluster_flow
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import BoolArray, FloatArray, PointCloud

INTERVAL = 0.1
Vector = tuple[float, float, float]


def box(centre: Vector, size: Vector, spacing: float = 0.08, yaw: float = 0.0) -> FloatArray:
    """(N, 3) points on the four sides of a box, as a lidar at its height sees them."""
    length, width, height = size
    up = np.arange(-height / 2, height / 2, spacing * 1.5)
    faces = []
    for half, fixed, along in ((length, width / 2, 0), (width, length / 2, 1)):
        line = np.arange(-half / 2, half / 2, spacing)
        for side in (-fixed, fixed):
            u, v = np.meshgrid(line, up)
            face = np.empty((u.size, 3))
            face[:, along], face[:, 1 - along], face[:, 2] = u.ravel(), side, v.ravel()
            faces.append(face)
    points = np.concatenate(faces)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turned = points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    return (turned + centre).astype(np.float32)


def street(rng: np.random.Generator, jitter: float = 0.01) -> FloatArray:
    """Static things on both sides: walls and parked cars."""
    parts = [box((x, y, 1.0), (4.2, 1.8, 1.4)) for x in (-20, -5, 12, 25) for y in (-9, 9)]
    parts += [box((x, y, 2.0), (8.0, 0.5, 3.0), 0.15) for x in (-15, 10) for y in (-16, 16)]
    points = np.concatenate(parts)
    return (points + rng.normal(0, jitter, points.shape)).astype(np.float32)


def clouds(
    source: FloatArray,
    target: FloatArray,
    interval: float = INTERVAL,
    source_time: FloatArray | None = None,
    target_time: FloatArray | None = None,
) -> tuple[PointCloud, PointCloud]:
    origin = np.array([0, 0, 1.8], np.float32)
    return (
        PointCloud(source, source_time, 0.0, "base", origin),
        PointCloud(target, target_time, interval, "base", origin),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_identical_clouds_have_exactly_zero_flow(rng: np.random.Generator) -> None:
    points = street(rng)
    flow = estimate_flow(*clouds(points, points.copy()))
    assert not flow.flow.any()
    assert not flow.moving.any()
    assert flow.converged
    assert flow.confidence.min() > 0.9


def moving_box(
    rng: np.random.Generator,
    shift: Vector,
    size: Vector = (4.2, 1.8, 1.4),
    centre: Vector = (9.0, 1.0, 1.0),
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """A static street and one box that moves by ``shift``: both clouds, and the box's mask."""
    car = box(centre, size)
    static = street(rng)
    source = np.concatenate([static, car])
    target = np.concatenate([street(rng), car + np.asarray(shift, np.float32)])
    target = target + rng.normal(0, 0.01, target.shape)
    mask = np.arange(len(source)) >= len(static)
    return source, target.astype(np.float32), mask


def test_a_moved_box_is_found_within_five_centimetres(rng: np.random.Generator) -> None:
    source, target, car = moving_box(rng, (1.0, 0.3, 0.0))
    flow = estimate_flow(*clouds(source, target))
    error = np.linalg.norm(flow.flow[car] - [1.0, 0.3, 0.0], axis=1)
    assert error.max() < 0.05
    assert flow.moving[car].all()
    assert not flow.moving[~car].any()
    assert not flow.flow[~car].any()


def test_the_target_may_be_the_earlier_sweep(rng: np.random.Generator) -> None:
    source, target, car = moving_box(rng, (-1.0, -0.3, 0.0))
    flow = estimate_flow(*clouds(source, target, interval=-INTERVAL))
    assert flow.interval == -INTERVAL
    assert np.abs(flow.velocity[car] - [10.0, 3.0, 0.0]).max() < 0.5
    assert not flow.moving[~car].any()


@pytest.mark.parametrize("interval", [INTERVAL, -INTERVAL])
def test_point_times_undo_the_rolling_shutter(rng: np.random.Generator, interval: float) -> None:
    """A car at 10 m/s that the second sweep meets 0.05 s later in its turn than the first one."""
    velocity = np.float32(10.0)
    late = np.float32(0.05)
    car = box((9.0, 1.0, 1.0), (4.2, 1.8, 1.4))
    seen_later = car + np.array([velocity * (interval + late), 0, 0], np.float32)
    static = street(rng)
    source, target = np.concatenate([static, car]), np.concatenate([street(rng), seen_later])
    source_time = np.zeros(len(source), np.float32)
    target_time = np.zeros(len(target), np.float32)
    target_time[len(static) :] = late
    is_car = np.arange(len(source)) >= len(static)
    timed = estimate_flow(*clouds(source, target, interval, source_time, target_time))
    untimed = estimate_flow(*clouds(source, target, interval))
    assert timed.flow[is_car, 0].mean() == pytest.approx(velocity * interval, abs=0.03)
    assert untimed.flow[is_car, 0].mean() == pytest.approx(velocity * (interval + late), abs=0.03)


@pytest.mark.parametrize(("shift", "found"), [(2.9, True), (4.0, False)])
def test_the_search_ends_at_the_fastest_motion(
    rng: np.random.Generator, shift: float, found: bool
) -> None:
    source, target, car = moving_box(rng, (shift, 0.0, 0.0), (0.8, 0.6, 1.7), (-3.0, 1.0, 1.0))
    flow = estimate_flow(*clouds(source, target))
    assert flow.moving[car].all() == found
    if found:
        assert np.abs(flow.flow[car, 0] - shift).max() < 0.05
    else:
        assert not flow.flow[car].any()


def test_two_calls_agree_bit_for_bit(rng: np.random.Generator) -> None:
    source, target, _ = moving_box(rng, (1.0, 0.3, 0.0))
    first = estimate_flow(*clouds(source, target))
    second = estimate_flow(*clouds(source, target))
    np.testing.assert_array_equal(first.flow, second.flow)
    np.testing.assert_array_equal(first.confidence, second.confidence)


def test_one_thread_finds_what_two_find(rng: np.random.Generator) -> None:
    """Thirty bodies, some of which touch and are split: numbers and motions are the same."""
    background = street(rng)
    places = [(x, y) for x in range(-36, 37, 8) for y in (-4, 0, 4)]
    bodies = [(box((*at, 1.0), (4.2, 1.8, 1.4)), 0.3 * k - 1.2) for k, at in enumerate(places)]
    source = np.concatenate([background, *(body for body, _ in bodies)])
    moved = [body + np.array([shift, 0, 0], np.float32) for body, shift in bodies]
    target = np.concatenate([background, *moved])
    earlier, later = clouds(source, target)
    one, two = (
        cluster_flow(earlier, later, RigidClusterConfig(threads=threads)) for threads in (1, 2)
    )
    assert (one.state == REGISTERED).sum() > 15
    for name in ("label", "state", "translation", "yaw", "pivot", "lower", "upper", "energy",
                 "energy_static", "support", "points", "unmatched"):  # fmt: skip
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert np.array_equal(one.flow.flow, two.flow.flow)


def test_the_order_of_the_points_is_of_no_consequence(rng: np.random.Generator) -> None:
    source, target, _ = moving_box(rng, (1.0, 0.3, 0.0))
    straight = estimate_flow(*clouds(source, target))
    p, q = rng.permutation(len(source)), rng.permutation(len(target))
    shuffled = estimate_flow(*clouds(source[p], target[q]))
    np.testing.assert_array_equal(straight.flow[p], shuffled.flow)
    np.testing.assert_array_equal(straight.confidence[p], shuffled.confidence)


def test_points_beyond_the_range_are_unknown(rng: np.random.Generator) -> None:
    source, target, _ = moving_box(rng, (1.0, 0.3, 0.0))
    far = np.array([[70.0, 0.0, 1.0], [0.0, -90.0, 1.0]], np.float32)
    flow = estimate_flow(*clouds(np.concatenate([source, far]), target))
    assert not flow.flow[-2:].any()
    assert not flow.moving[-2:].any()
    assert not flow.confidence[-2:].any()


def test_in_a_hurry_what_is_near_is_known_and_what_is_far_is_not(rng: np.random.Generator) -> None:
    """A machine thought to be slow looks only as far as it can afford."""
    source, target, car = moving_box(rng, (1.0, 0.3, 0.0), centre=(5.0, 0.0, 1.0))
    workspace = Workspace()
    workspace.range_budget.slowness = 2000.0
    earlier, later = clouds(source, target)
    hurried = cluster_flow(earlier, later, deadline=Deadline(10.0), workspace=workspace).flow
    extent = np.abs(source[:, :2]).max(axis=1)
    known = hurried.confidence > 0
    assert not hurried.converged
    assert known[car].mean() > 0.9
    assert hurried.moving[car & known].all()
    assert extent[known].max() < extent[~known].min() + 0.5
    assert not hurried.flow[~known].any()
    assert not hurried.moving[~known].any()
    assert workspace.range_budget.slowness < 2000.0, "faster than assumed: solve farther next time"


def test_no_time_at_all_means_nothing_known(rng: np.random.Generator) -> None:
    source, target, _ = moving_box(rng, (1.0, 0.3, 0.0))
    earlier, later = clouds(source, target)
    found = cluster_flow(earlier, later, deadline=Deadline(1e-9))
    assert not found.flow.converged
    assert not found.flow.confidence.any()
    assert not found.flow.moving.any()
    assert (found.label == -1).all()
    assert len(found.state) == 0


def test_a_coach_alongside_moves_though_its_long_side_looks_the_same(
    rng: np.random.Generator,
) -> None:
    """15 m of flat side, 0.45 m on: only its ends tell."""
    side = box((0.0, 3.0, 1.6), (15.0, 2.5, 2.8), 0.06)
    side = side[side[:, 1] < 1.76]  # what the sensor sees
    source = np.concatenate([street(rng), side])
    target = np.concatenate([street(rng), side + np.array([0.45, 0, 0], np.float32)])
    source, target = (
        (cloud + rng.normal(0, 0.015, cloud.shape)).astype(np.float32) for cloud in (source, target)
    )
    flow = estimate_flow(*clouds(source, target))
    coach = np.arange(len(source)) >= len(source) - len(side)
    assert flow.moving[coach].mean() > 0.95
    # how far is less sure than that: points two voxels wide tell it
    np.testing.assert_allclose(flow.flow[coach].mean(axis=0), [0.45, 0, 0], atol=0.2)
    assert flow.moving[~coach].mean() < 0.01
