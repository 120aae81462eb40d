"""Labelled objects against what was found, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.datasets.kitti_tracking import LabelledBox
from ssl_perception.evaluation.labelled_objects import (
    ObjectScores,
    by_class_and_range,
    claims_outside,
    figures_of,
)
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.types import BoolArray, FloatArray, PointCloud, SceneFlow

PERIOD = 0.1
FLOOR = -1.7


def box(x: float, track: int = 1, category: str = "Car", y: float = 0.0) -> LabelledBox:
    """4 m long, 1.8 m wide, 1.5 m high, on the ground."""
    return LabelledBox(
        track, category, np.array([x, y, FLOOR + 0.75]), np.array([4.0, 1.8, 1.5]), 0.0
    )


def body(at: LabelledBox) -> FloatArray:
    """400 points in the upper part of a box."""
    rng = np.random.default_rng(0)
    points = rng.uniform((-1.9, -0.8, 0.0), (1.9, 0.8, 0.7), (400, 3)) + at.centre
    return points.astype(np.float32)


def road() -> FloatArray:
    x, y = (p.ravel() for p in np.meshgrid(np.arange(-30, 30, 0.5), np.arange(-30, 30, 0.5)))
    return np.stack([x, y, np.full_like(x, FLOOR)], axis=1).astype(np.float32)


def sweep(
    k: int,
    parts: list[tuple[FloatArray, tuple[float, float]]],
    motion: np.ndarray | None,
) -> SweepFlow:
    """A sweep of a road and parts with their velocities as found, (0, 0) for at rest."""
    ground = road()
    points = np.concatenate([ground, *(part for part, _ in parts)])
    velocity = np.zeros_like(points)
    at = len(ground)
    for part, (vx, vy) in parts:
        velocity[at : at + len(part), :2] = vx, vy
        at += len(part)
    moving: BoolArray = np.linalg.norm(velocity, axis=1) > 0.0
    flow = SceneFlow(
        velocity * np.float32(-PERIOD), moving, np.ones(len(points), np.float32), -PERIOD
    )
    is_ground = np.arange(len(points)) < len(ground)
    return SweepFlow(PointCloud(points, stamp=PERIOD * k), flow, is_ground, motion, [], {})


def test_objects_are_scored_over_ground_whatever_the_robot_does() -> None:
    """The robot drives 10 m/s; a car ahead 15 m/s, found 0.5 m/s too slow; a parked one."""
    scores = ObjectScores()
    ahead = np.eye(4)
    ahead[0, 3] = -1.0
    for k in range(7):
        moving, parked = box(10.0 + 0.5 * k), box(20.0 - 1.0 * k, track=2, y=5.0)
        parts = [(body(moving), (14.5, 0.0)), (body(parked), (0.0, 0.0))]
        scores.add(k, sweep(k, parts, None if k == 0 else ahead), [moving, parked])
    results = scores.results()
    figures = figures_of(results, scores.claims)
    assert (figures["movers"], figures["recall"]) == (6, 1.0)
    assert figures["velocity_error"] == pytest.approx(0.5, abs=1e-3)
    assert figures["zero_velocity_error"] == pytest.approx(15.0, abs=1e-3)
    assert (figures["parked"], figures["parked_claimed"], figures["claims"]) == (6, 0, 0)
    assert figures["pedestrians"] == 0 and figures["recall_pedestrian"] is None
    assert by_class_and_range(results)["< 20 m"]["objects"] == 6


def test_a_turning_box_moves_as_a_rigid_body() -> None:
    """A box that turns on the spot, 1 rad/s; half of it found, with the right velocities."""
    scores = ObjectScores()
    for k in range(7):
        turned = box(10.0)
        turned = LabelledBox(1, "Van", turned.centre, turned.size, PERIOD * k - 0.3)
        points = body(box(10.0))
        points[:, :2] = 0.5 * (points[:, :2] - turned.centre[:2]) + turned.centre[:2]
        result = sweep(k, [(points, (0.0, 0.0))], None if k == 0 else np.eye(4))
        offset = points - turned.centre
        mine = np.arange(len(result.cloud)) >= len(result.cloud) - len(points)
        result.flow.flow[mine, 0] = offset[:, 1] * PERIOD
        result.flow.flow[mine, 1] = -offset[:, 0] * PERIOD
        result.flow.moving[mine] = True
        scores.add(k, result, [turned])
    middle = [row for row in scores.results() if row.frame == 3]
    assert middle[0].epe == pytest.approx(0.0, abs=1e-3)
    assert middle[0].error == pytest.approx(0.0, abs=1e-3)


def test_a_jump_of_one_label_does_not_count() -> None:
    scores = ObjectScores()
    for k in range(13):
        at = box(10.0 + 0.5 * k + (0.3 if k == 6 else 0.0))
        motion = None if k == 0 else np.eye(4)
        scores.add(k, sweep(k, [(body(at), (5.0, 0.0))], motion), [at])
    errors = [row.error for row in scores.results() if 3 <= row.frame <= 9]
    assert len(errors) == 7
    assert max(error for error in errors if error is not None) < 0.2


def test_walking_people_are_counted_apart_and_missed_ones_are_missed() -> None:
    scores = ObjectScores()
    for k in range(5):
        person = box(10.0 + 0.1 * k, category="Pedestrian")
        motion = None if k == 0 else np.eye(4)
        scores.add(k, sweep(k, [(body(person), (0.0, 0.0))], motion), [person])
    figures = figures_of(scores.results(), scores.claims)
    assert (figures["movers"], figures["pedestrians"]) == (0, 4)
    assert figures["recall"] is None and figures["recall_pedestrian"] == 0.0
    assert figures["velocity_error"] is None


def test_claims_outside_labels_are_sorted_out() -> None:
    y = np.arange(-1.5, 1.5, 0.05)
    arc = np.stack([np.full_like(y, 8.0), y, np.full_like(y, FLOOR + 0.05)], 1).astype(np.float32)
    person = body(box(-10.0)) * np.array([1, 0.3, 1], np.float32)
    flyer = body(box(0.0, y=15.0))
    labelled = box(12.0)
    parts = [
        (arc, (4.0, 0.0)),
        (person, (1.4, 0.0)),
        (flyer, (29.0, 0.0)),
        (body(labelled), (4.0, 0.0)),
    ]
    claims = claims_outside(3, sweep(3, parts, np.eye(4)), [labelled])
    assert len(claims) == 3
    by_speed = sorted(claims, key=lambda claim: claim.speed)
    assert [(c.ground_arc, c.absurd) for c in by_speed] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert by_speed[1].points == len(arc)
