"""Time to collision, worked by hand: head-on, from the side, on an arc, and near misses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception.config import Collision
from ssl_perception.flow.online import SweepFlow
from ssl_perception.obstacles.collision import first_contact, time_to_collision
from ssl_perception.types import PointCloud, SceneFlow

ROBOT = Collision(
    front=2.0, rear=2.0, width=2.0, below=1.0, above=1.0, horizon=5.0, min_points=1, own=0.0
)
STILL = (0.0, 0.0, 0.0)


def contact(
    point: tuple[float, float, float],
    velocity: tuple[float, float, float] = STILL,
    robot: tuple[float, float, float] = STILL,
    yaw_rate: float = 0.0,
    options: Collision = ROBOT,
) -> float:
    return first_contact(
        np.array([point], np.float32), np.array([velocity], np.float32),
        np.array(robot), yaw_rate, options,
    )  # fmt: skip


def test_driving_at_a_wall() -> None:
    assert contact((12.0, 0.5, 0.0), robot=(5.0, 0.0, 0.0)) == pytest.approx(2.0, abs=1e-3)


def test_hit_from_behind_and_from_the_side() -> None:
    assert contact((-7.0, 0.0, 0.0), (10.0, 0.0, 0.0), (5.0, 0.0, 0.0)) == pytest.approx(
        1, abs=1e-3
    )
    assert contact((1.5, 4.0, 0.0), (0.0, -6.0, 0.0)) == pytest.approx(0.5, abs=1e-3)


def test_what_goes_along_or_away_never_meets() -> None:
    assert contact((5.0, 0.0, 0.0), (5.0, 0.0, 0.0), (5.0, 0.0, 0.0)) == math.inf
    assert contact((5.0, 0.0, 0.0), (9.0, 0.0, 0.0), (5.0, 0.0, 0.0)) == math.inf
    assert contact((20.0, 0.0, 0.0)) == math.inf, "nobody moves"


def test_it_passes_beside_above_and_beyond_the_horizon() -> None:
    assert contact((12.0, 1.01, 0.0), robot=(5.0, 0.0, 0.0)) == math.inf
    assert contact((12.0, 0.0, 1.1), robot=(5.0, 0.0, 0.0)) == math.inf
    assert contact((30.0, 0.0, 0.0), robot=(5.0, 0.0, 0.0)) == math.inf, "5.6 s"


def test_a_fast_one_is_not_stepped_over() -> None:
    # 4 m of box at 60 m/s are 0.067 s
    assert contact((62.0, 0.0, 0.0), (-60.0, 0.0, 0.0)) == pytest.approx(1.0, abs=1e-3)
    assert contact((0.0, 81.0, 0.0), (0.0, -80.0, 0.0)) == pytest.approx(1.0, abs=1e-3)


def test_a_turning_robot_meets_what_lies_on_its_arc() -> None:
    radius, speed = 20.0, 5.0
    rate = speed / radius
    angle = 0.6  # rad along the arc, about the centre (0, 20)
    point = (radius * math.sin(angle), radius - radius * math.cos(angle), 0.0)
    found = contact(point, robot=(speed, 0.0, 0.0), yaw_rate=rate)
    # its front, 2 m ahead of the turning centre's tangent point, comes first
    assert found == pytest.approx((angle * radius - 2.0) / speed, abs=0.02)
    assert contact(point, robot=(speed, 0.0, 0.0)) == math.inf, "straight on it would miss"
    assert contact((10.0, 0.0, 0.0), robot=(speed, 0.0, 0.0), yaw_rate=rate) == math.inf


def test_turning_on_the_spot_sweeps_the_corners() -> None:
    quarter = contact((0.0, 1.9, 0.0), yaw_rate=1.0)
    assert 0 < quarter < math.pi / 2


def test_so_many_points_are_needed() -> None:
    three = ROBOT.model_copy(update={"min_points": 3})
    points = np.array([[12, 0, 0], [13, 0, 0], [14, 0, 0], [20, 0, 0]], np.float32)
    found = first_contact(points, np.zeros((4, 3), np.float32), np.array([5.0, 0, 0]), 0.0, three)
    assert found == pytest.approx(2.4, abs=1e-3)
    assert contact((12.0, 0.0, 0.0), robot=(5.0, 0.0, 0.0), options=three) == math.inf


def test_noise_at_rest_is_no_collision() -> None:
    assert contact((2.05, 0.0, 0.0), robot=(0.2, 0.0, 0.0)) == math.inf
    assert contact((2.2, 0.0, 0.0), robot=(0.4, 0.0, 0.0)) == pytest.approx(0.5, abs=1e-3)


def test_the_robots_own_points_are_not_in_its_way() -> None:
    assert contact((1.0, 0.0, 0.0), robot=(5.0, 0.0, 0.0)) == math.inf
    mirrors = ROBOT.model_copy(update={"own": 0.4})
    assert contact((2.3, 0.0, 0.0), robot=(5.0, 0.0, 0.0), options=mirrors) == math.inf
    assert contact((2.5, 0.0, 0.0), robot=(5.0, 0.0, 0.0), options=mirrors) < math.inf


@given(
    st.floats(3, 40), st.floats(-0.9, 0.9), st.floats(1, 20), st.floats(0.1, 10), st.floats(0, 6.28)
)
def test_only_relative_motion_counts_and_faster_is_sooner(
    ahead: float, aside: float, speed: float, more: float, heading: float
) -> None:
    wind = 3.0 * math.cos(heading), 3.0 * math.sin(heading), 0.0
    plain = contact((ahead, aside, 0.0), robot=(speed, 0.0, 0.0))
    blown = contact((ahead, aside, 0.0), wind, (speed + wind[0], wind[1], 0.0))
    assert blown == pytest.approx(plain, abs=2e-3)
    assert contact((ahead, aside, 0.0), robot=(speed + more, 0.0, 0.0)) <= plain + 1e-3


def sweep(reset: str = "", known: float = 1.0, ground: bool = False) -> SweepFlow:
    """A robot that drives 0.5 m a sweep at a wall 20 m ahead."""
    y, z = np.meshgrid(np.linspace(-3, 3, 20), np.linspace(-1, 2, 10))
    points = np.c_[np.full(200, 20.0), y.ravel(), z.ravel()].astype(np.float32)
    motion = np.eye(4)
    motion[0, 3] = -0.5
    flow = SceneFlow(
        np.zeros((200, 3), np.float32), np.zeros(200, bool), np.full(200, known, np.float32), -0.1
    )
    return SweepFlow(
        PointCloud(points, None, 1.0, "lidar"), flow, np.full(200, ground),
        None if reset else motion, [], {}, reset,
    )  # fmt: skip


def test_of_a_sweep() -> None:
    assert time_to_collision(sweep(), ROBOT) == pytest.approx(18.0 / 5.0, abs=1e-3)
    assert math.isnan(time_to_collision(sweep("first sweep"), ROBOT)), "unknown is never free"
    assert math.isnan(time_to_collision(sweep(known=0.0), ROBOT))
    assert time_to_collision(sweep(ground=True), ROBOT) == math.inf
