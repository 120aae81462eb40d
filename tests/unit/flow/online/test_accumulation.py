"""Points carried from sweep to sweep: static by ego motion, moving by flow, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import AccumulationConfig
from ssl_perception.flow.online.accumulation import Accumulator
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.types import PointCloud, SceneFlow

DT = 0.1
SPEED = np.array([5.0, 0.0, 0.0], np.float32)  # over ground
EGO = np.array([1.0, 0.2, 0.0])  # m a sweep
RNG = np.random.default_rng(0)
WALL = np.c_[RNG.uniform(-10, 10, 400), np.full(400, 6.0), RNG.uniform(0, 3, 400)]
CAR = np.c_[RNG.uniform(-2, 2, 300), RNG.uniform(-1, 1, 300), RNG.uniform(0, 1.5, 300)]


def sweep(k: int, moving: bool = True, reset: str = "", ground: bool = False) -> SweepFlow:
    """The scene at sweep k, seen from a robot that drives and doesn't turn."""
    car = CAR + SPEED * DT * k
    world = np.vstack([WALL, car])
    points = (world - EGO * k).astype(np.float32)
    is_car = np.r_[np.zeros(len(WALL), bool), np.full(len(CAR), moving)]
    flow = np.where(is_car[:, None], -SPEED * DT, 0.0).astype(np.float32)
    motion = np.eye(4)
    motion[:3, 3] = -EGO
    return SweepFlow(
        PointCloud(points, None, k * DT, "lidar"),
        SceneFlow(flow, is_car, np.ones(len(points), np.float32), -DT),
        np.full(len(points), ground),
        None if reset else motion,
        [],
        {},
        reset,
    )


def test_ten_sweeps_lie_on_one_another() -> None:
    accumulator = Accumulator(AccumulationConfig(sweeps=10))
    accumulator.add(sweep(0, moving=False, reset="first sweep"))
    for k in range(1, 12):
        accumulator.add(sweep(k))
    cloud = accumulator.cloud()
    assert len(cloud) == 10 * 700
    newest = sweep(11).cloud.points
    np.testing.assert_allclose(
        cloud.points.reshape(10, 700, 3), newest[None].repeat(10, 0), atol=1e-4
    )
    assert accumulator.moving().reshape(10, 700)[:, 400:].all()
    assert not accumulator.moving().reshape(10, 700)[:, :400].any()
    assert cloud.stamp == pytest.approx(1.1)
    assert cloud.time is not None
    np.testing.assert_allclose(cloud.time[::700], -DT * np.arange(9, -1, -1), atol=1e-6)


def test_a_first_sweep_that_knew_no_flow_is_carried_all_the_same() -> None:
    accumulator = Accumulator(AccumulationConfig(sweeps=3))
    accumulator.add(sweep(0, moving=False, reset="first sweep"))
    accumulator.add(sweep(1))
    oldest = accumulator.cloud().points[:700]
    np.testing.assert_allclose(oldest, sweep(1).cloud.points, atol=1e-4)


def test_without_flow_what_moves_is_smeared() -> None:
    for by, error in (("ego motion", 0.5), ("nothing", np.linalg.norm(SPEED * DT - EGO))):
        accumulator = Accumulator(AccumulationConfig(sweeps=2), by=by)  # type: ignore[arg-type]
        accumulator.add(sweep(0, reset="first sweep"))
        accumulator.add(sweep(1))
        cloud = accumulator.cloud().points
        shift = np.linalg.norm(cloud[400:700] - cloud[1100:], axis=1)
        np.testing.assert_allclose(shift, error, atol=1e-4)


def test_what_is_lost_coasts_and_is_dropped_then() -> None:
    accumulator = Accumulator(AccumulationConfig(sweeps=10, coast=2))
    accumulator.add(sweep(0, reset="first sweep"))
    accumulator.add(sweep(1))

    def unseen(k: int) -> SweepFlow:
        seen = sweep(k)
        hidden = np.r_[np.ones(len(WALL), bool), np.zeros(len(CAR), bool)]
        cloud = PointCloud(seen.cloud.points[hidden], None, k * DT, "lidar")
        still = SceneFlow(
            np.zeros((400, 3), np.float32), np.zeros(400, bool), np.ones(400, np.float32), -DT
        )
        return SweepFlow(cloud, still, np.zeros(400, bool), seen.current_from_previous, [], {})

    for k in (2, 3):
        accumulator.add(unseen(k))
        carried = accumulator.cloud().points[accumulator.moving()]
        assert len(carried) == 600
        np.testing.assert_allclose(carried[:300], sweep(k).cloud.points[400:], atol=1e-4)
    accumulator.add(unseen(4))
    assert not accumulator.moving().any(), "nobody knows where it is by now"


def test_a_wall_beside_a_mover_stays_where_it_is() -> None:
    accumulator = Accumulator(AccumulationConfig(sweeps=5, reach=10.0))
    accumulator.add(sweep(0, reset="first sweep"))
    for k in range(1, 5):
        accumulator.add(sweep(k))
    assert not accumulator.moving().reshape(5, 700)[:, :400].any()


def test_it_starts_anew_where_the_runtime_does() -> None:
    accumulator = Accumulator(AccumulationConfig(sweeps=5))
    accumulator.add(sweep(0, reset="first sweep"))
    accumulator.add(sweep(1))
    accumulator.add(sweep(2, reset="gap 3.0 s"))
    assert len(accumulator.cloud()) == 700


def test_ground_only_when_asked_for() -> None:
    for ground, count in ((False, 0), (True, 700)):
        accumulator = Accumulator(AccumulationConfig(sweeps=2, ground=ground))
        accumulator.add(sweep(0, reset="first sweep", ground=True))
        assert len(accumulator.cloud()) == count
