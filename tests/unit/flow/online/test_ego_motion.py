"""Ego motion: what is the same each time, and what is nearly the same; and of sweeps whose sensor
looks one way and never draws the same curves twice, or sits close to the ground."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception.config import EgoMotionConfig
from ssl_perception.flow.online.ego_motion import NEIGHBOURS, EgoMotion, looks_one_way
from ssl_perception_sim.recording.pairs import street_sweeps
from ssl_perception_sim.sensors.lidar import Lidar

RNG = np.random.default_rng(1)
GROUND = np.column_stack([RNG.uniform(-20, 20, (9000, 2)), RNG.normal(-1.7, 0.01, 9000)])
WALLS = RNG.uniform((-20, -0.1, -1.7), (20, 0.1, 3), (9000, 3))
WALLS[:, 1] += np.where(np.arange(9000) % 2, 9.0, -8.0)
WALLS[::3] = WALLS[::3][:, [1, 0, 2]]
WORLD = np.concatenate([GROUND, WALLS])
SWEEPS = [
    (WORLD - [0.5 * k, 0.0, 0.0] + RNG.normal(0, 0.01, WORLD.shape)).astype(np.float32)
    for k in range(4)
]


def motions(threads: int) -> np.ndarray:
    """(3, 4, 4) of the sweeps."""
    motion = EgoMotion(EgoMotionConfig(threads=threads))
    found = [motion.register(sweep, 0.1) for sweep in SWEEPS]
    assert found[0] is None
    return np.array(found[1:], np.float64)


def test_one_thread_gives_the_same_bits() -> None:
    np.testing.assert_array_equal(motions(1), motions(1))


def test_more_threads_give_the_same_to_a_hundredth_of_a_millimetre() -> None:
    one = motions(1)
    assert one[:, 0, 3] == pytest.approx(-0.5, abs=0.02)
    for _ in range(3):
        np.testing.assert_allclose(motions(2), one, rtol=0.0, atol=1e-5)


def turns_wrongly(neighbours: int) -> list[float]:
    """Degrees by which each registration of a drive is wrong."""
    lidar = Lidar(pattern="rosette", mount=(1.9, 0.0, 1.75))
    registration, before, wrong = EgoMotion(neighbours=neighbours), None, []
    for sweep in street_sweeps(0, 0.4, lidar):
        found = registration.register(sweep.cloud.points, lidar.period)
        if before is not None and found is not None:
            true = np.linalg.inv(sweep.world_from_sensor) @ before
            error = Rotation.from_matrix((np.linalg.inv(true) @ found)[:3, :3])
            wrong.append(float(np.degrees(error.magnitude())))
        before = sweep.world_from_sensor
    return wrong


def off_by(seed: int, seconds: float, lidar: Lidar) -> list[float]:
    """Metres by which each registration of a drive is wrong, after the first."""
    registration, before, off = EgoMotion(), None, []
    for sweep in street_sweeps(seed, seconds, lidar):
        found = registration.register(sweep.cloud.points, lidar.period)
        if before is not None and found is not None:
            true = np.linalg.inv(sweep.world_from_sensor) @ before
            off.append(float(np.linalg.norm((np.linalg.inv(true) @ found)[:3, 3])))
        before = sweep.world_from_sensor
    return off[1:]


def test_close_to_the_ground_it_is_right_to_centimetres() -> None:
    off = off_by(0, 0.7, Lidar(mount=(1.9, 0.0, 0.3)))
    assert len(off) >= 5 and max(off) < 0.04


def test_what_drives_alongside_does_not_pull() -> None:
    """In a match radius of 1 m it is off by up to 9 cm."""
    off = off_by(12, 1.0, Lidar(mount=(1.9, 0.0, 1.75)))
    assert len(off) >= 8 and max(off) < 0.015


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_a_sudden_change_of_speed_is_found_beyond_the_fine_radius(step: float) -> None:
    motion = EgoMotion(EgoMotionConfig(threads=1))
    for sweep in SWEEPS:
        motion.register(sweep, 0.1)
    found = motion.register(SWEEPS[-1] - np.array([step, 0.0, 0.0], np.float32), 0.1)
    assert found is not None
    assert found[0, 3] == pytest.approx(-step, abs=0.02)


def test_a_pattern_that_does_not_repeat_is_not_taken_for_a_turn() -> None:
    assert max(turns_wrongly(0)) < 1.5
    assert max(turns_wrongly(NEIGHBOURS)) > 5.0  # as for lidars that spin


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("half", "one_way"), [(35.0, True), (60.0, True), (90.0, False)])
def test_a_cone_of_beams_looks_one_way_wherever_it_points(
    half: float, one_way: bool, turned: bool
) -> None:
    rng = np.random.default_rng(0)
    z = rng.uniform(np.cos(np.deg2rad(half)), 1.0, 4000)
    around = rng.uniform(0, 2 * np.pi, 4000)
    flat = np.sqrt(1 - z**2)
    beams = np.stack([z, flat * np.cos(around), flat * np.sin(around)], 1)
    if turned:
        beams = beams[:, [1, 2, 0]]
    points = (beams * rng.uniform(1.0, 50.0, (4000, 1))).astype(np.float32)
    assert looks_one_way(points) == one_way


def test_beams_all_around_do_not_look_one_way_nor_does_nothing() -> None:
    angle = np.linspace(0, 2 * np.pi, 1000)
    ring = np.stack([5 * np.cos(angle), 5 * np.sin(angle), np.full(1000, -1.7)], 1)
    assert not looks_one_way(ring.astype(np.float32))
    assert not looks_one_way(np.zeros((0, 3), np.float32))
    assert not looks_one_way(np.zeros((4, 3), np.float32))
