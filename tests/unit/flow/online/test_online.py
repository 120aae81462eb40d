"""Sweep after sweep: what is known when, and what makes it start anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception.config import Config, override
from ssl_perception.errors import InputError
from ssl_perception.flow.online import online
from ssl_perception.flow.online.detection import Detections, detect
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.types import PointCloud
from ssl_perception.warm_up import warm_up

HEIGHT = 1.7
PERIOD = 0.1
RNG = np.random.default_rng(3)


def street() -> np.ndarray:
    """Ground, two walls with buttresses, poles: (N, 3) m, in the world."""
    ground = np.column_stack([RNG.uniform(-40, 60, (14000, 2)), RNG.normal(-HEIGHT, 0.01, 14000)])
    walls = RNG.uniform((-40, -0.05, -HEIGHT), (60, 0.05, 3), (14000, 3))
    walls[:, 1] += np.where(np.arange(14000) % 2, 11.0, -9.0)
    buttress = np.floor(walls[:, 0] / 3.0) % 2 == 0
    walls[buttress, 1] -= 0.8 * np.sign(walls[buttress, 1])
    poles = RNG.uniform((-0.1, -0.1, -HEIGHT), (0.1, 0.1, 3), (6000, 3))
    poles[:, 0] += RNG.choice(np.arange(-35, 55, 7.0), 6000)
    poles[:, 1] += RNG.choice([6.0, -6.0], 6000)
    return np.concatenate([ground, walls, poles])


WORLD = street()
BOX = RNG.uniform((-2.0, -0.9, 0.3 - HEIGHT), (2.0, 0.9, 1.5 - HEIGHT), (900, 3))


def drive(
    sweeps: int,
    speed: float,
    yaw_rate: float = 0.0,
    box_speed: float | None = None,
    box_x: float = 8.0,
) -> list[PointCloud]:
    """Rolling sweeps of a sensor that drives an arc; each point at its own time.

    Args:
        box_speed: m/s along x, of a box that starts at ``box_x`` m; None: no box.
    """
    clouds = []
    for k in range(sweeps):
        stamp = PERIOD * k
        points = WORLD + RNG.normal(0, 0.01, WORLD.shape)
        if box_speed is not None:
            start = np.array([box_x + box_speed * stamp, 2.5, 0.0])
            points = np.concatenate([points, BOX + start])
        ahead = points - (speed * stamp, 0.0, 0.0)
        azimuth = np.arctan2(ahead[:, 1], ahead[:, 0]) - yaw_rate * stamp
        time = PERIOD * ((azimuth / (2 * np.pi) + 0.5) % 1.0)  # it spins, starting behind
        if box_speed is not None:
            points[-len(BOX) :, 0] += box_speed * time[-len(BOX) :]
        at = stamp + time
        place = np.column_stack([speed * at, np.zeros((len(at), 2))])
        turn = Rotation.from_rotvec(np.column_stack([np.zeros((len(at), 2)), yaw_rate * at]))
        seen = turn.inv().apply(points - place)
        near = np.linalg.norm(seen[:, :2], axis=1) > 2.0
        clouds.append(
            PointCloud(
                seen[near].astype(np.float32), time[near].astype(np.float32), 100.0 + stamp, "lidar"
            )
        )
    return clouds


def run(clouds: list[PointCloud], *settings: str) -> list[SweepFlow]:
    online = OnlineFlow(override(Config(), list(settings)))
    return [online.process(cloud) for cloud in clouds]


@pytest.mark.parametrize(("speed", "yaw_rate"), [(10.0, 0.0), (8.0, 0.3), (0.0, 0.0)])
def test_ego_motion_of_rolling_sweeps_converges(speed: float, yaw_rate: float) -> None:
    for k, result in enumerate(run(drive(12, speed, yaw_rate))[1:], 1):
        motion = result.current_from_previous
        assert motion is not None
        turn = Rotation.from_rotvec([0, 0, -yaw_rate * PERIOD])
        earlier = Rotation.from_rotvec([0, 0, yaw_rate * PERIOD * (k - 1)])
        way = earlier.inv().apply([speed * PERIOD, 0, 0])
        truth = turn.apply(-way)
        # sweeps are registered as they come; half a period of the turn stays in the direction
        allowed = 0.02 + 0.5 * abs(yaw_rate) * PERIOD * speed * PERIOD
        assert np.linalg.norm(motion[:3, 3] - truth) < allowed, f"sweep {k}"
        off = (Rotation.from_matrix(motion[:3, :3]) * turn.inv()).magnitude()
        assert np.degrees(off) < 0.1, f"sweep {k}"


def test_nothing_moves_where_nothing_moves() -> None:
    for result in run(drive(6, 10.0)):
        assert not result.flow.moving.any()
        assert not result.objects


def test_a_box_is_seen_to_move_over_ground() -> None:
    results = run(drive(8, 5.0, box_speed=9.0))
    for result in results[4:]:
        assert result.flow.moving.sum() > 400
        velocity = np.median(result.flow.velocity[result.flow.moving], axis=0)
        np.testing.assert_allclose(velocity, [9.0, 0, 0], atol=0.5)
    assert len({o.id for result in results[4:] for o in result.objects}) == 1, "one identity"


def test_the_motion_of_a_first_sweep_is_unknown() -> None:
    first = run(drive(1, 5.0))[0]
    assert first.reset == "first sweep"
    assert np.isnan(first.flow.velocity).all()
    assert not first.flow.moving.any()
    assert first.current_from_previous is None


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [(100.1, "same stamp twice"), (99.0, "clock went back"), (105.0, "gap 4.9 s")],
)
def test_a_clock_that_jumps_starts_anew(stamp: float, reason: str) -> None:
    one, two, *_ = drive(2, 5.0)
    online = OnlineFlow()
    online.process(one)
    online.process(two)
    jumped = online.process(PointCloud(two.points, two.time, stamp, "lidar"))
    assert jumped.reset == reason
    assert np.isnan(jumped.flow.velocity).all()
    after = online.process(PointCloud(two.points, two.time, stamp + PERIOD, "lidar"))
    assert after.reset == ""


def test_another_frame_starts_anew() -> None:
    one, two = drive(2, 5.0)
    online = OnlineFlow()
    online.process(one)
    other = online.process(PointCloud(two.points, two.time, two.stamp, "other"))
    assert "frame changed" in other.reset


def test_odometry_replaces_registration() -> None:
    online = OnlineFlow()
    for k, cloud in enumerate(drive(3, 5.0)):
        pose = np.eye(4)
        pose[0, 3] = 5.0 * PERIOD * k
        result = online.process(cloud, pose)
    assert result.current_from_previous is not None
    np.testing.assert_allclose(result.current_from_previous[:3, 3], [-0.5, 0, 0], atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_points_that_are_no_numbers_are_refused(value: float) -> None:
    cloud = drive(1, 5.0)[0]
    points = cloud.points.copy()
    points[5, 1] = value
    with pytest.raises(InputError, match="NaN or infinite points"):
        OnlineFlow().process(PointCloud(points, cloud.time, 1.0))


def test_an_empty_sweep_is_refused() -> None:
    with pytest.raises(InputError, match="no points"):
        OnlineFlow().process(PointCloud(np.empty((0, 3), np.float32)))


@pytest.mark.parametrize(
    ("box_x", "max_range", "moves"), [(8.0, 20, True), (28.0, 20, False), (28.0, 50, True)]
)
def test_unknown_is_never_moving_and_never_static(
    box_x: float, max_range: float, moves: bool
) -> None:
    """A box is found moving within the range of flow, and unknown beyond it."""
    results = run(drive(7, 8.0, box_speed=9.0, box_x=box_x), f"online.max_range={max_range}")
    counts = [int(result.flow.moving.sum()) for result in results]
    assert (min(counts[5:]) > 200) if moves else not any(counts), counts
    for result in results:
        far = np.abs(result.cloud.points[:, :2]).max(axis=1) > max_range + 3
        assert (result.flow.confidence[far] == 0).all()
        assert not (result.flow.moving & (result.flow.confidence == 0)).any()


@pytest.mark.parametrize("deadline", [0.0, 0.02])
def test_warming_up_reaches_the_registration_of_clusters(
    monkeypatch: pytest.MonkeyPatch, deadline: float
) -> None:
    """However long the compiler takes before: a real sweep must not wait for it."""
    patience, clusters = [], []

    def spy(*args: Any) -> Detections:
        patience.append(args[4].remaining)
        found = detect(*args)
        clusters.extend(found.clusters)
        return found

    monkeypatch.setattr(online, "detect", spy)
    warm_up(override(Config(), [f"flow.deadline={deadline}"]))
    assert patience and np.isinf(patience).all()
    assert clusters, "the box was registered"
