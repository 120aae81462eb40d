"""The simulator's truth is true: flow, warped clouds, rolling shutter, the moving flag."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception_sim.recording.pairs import flow_sample, street_pairs
from ssl_perception_sim.sensors import lidar as lidars
from ssl_perception_sim.sensors.lidar import PATTERNS, Lidar, Sweep
from ssl_perception_sim.world import street as streets
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.actors import car, pedestrian
from ssl_perception_sim.world.categories import Category
from ssl_perception_sim.world.materials import INDEX
from ssl_perception_sim.world.mesh import Mesh, box, merge, quad
from ssl_perception_sim.world.motion import Arc, Still, rotation
from ssl_perception_sim.world.scene import (
    Actor,
    Body,
    Rays,
    Scene,
)

SENSOR = Lidar(pattern="beams32", columns=720)


def plane(actors: list[Actor], *extra: Mesh) -> Scene:
    ground = quad([(-60, -60, 0), (60, -60, 0), (60, 60, 0), (-60, 60, 0)], INDEX["asphalt"])
    return Scene(merge([ground.labelled(Category.GROUND, 0), *extra]), actors)


def one_car(motion: Arc) -> Actor:
    return Actor(motion, [Body(car(np.random.default_rng(1), 7), motion)], "car")


@pytest.fixture(scope="module")
def street() -> tuple[Scene, Sweep, Sweep]:
    """Two noise-free sweeps of a street, source and target."""
    place = streets.build(11, 0.3)
    scene = Scene(place.static, place.actors)
    first, second = (
        lidars.sweep(SENSOR, scene, place.ego, 0.1 * k, 11, k, noise=False) for k in (0, 1)
    )
    return scene, first, second


def test_static_flow_is_the_rigid_transform(street: tuple[Scene, Sweep, Sweep]) -> None:
    scene, first, second = street
    static = first.body == 0
    assert static.sum() > 5000
    shift = scene.displacement(first.local, first.body, 0.0, 0.1)
    assert np.abs(shift[static]).max() == 0.0
    # seen from the moving sensor the same points move by the inverse of its motion
    expected = np.linalg.inv(second.world_from_sensor) @ first.world_from_sensor
    before = first.deskewed.points[static].astype(float)
    after = first.seen_from(second.world_from_sensor).points[static].astype(float)
    moved = before @ expected[:3, :3].T + expected[:3, 3]
    assert np.abs(after - moved).max() < 1e-4


@pytest.mark.parametrize("yaw_rate", [0.0, 0.8, -1.5])
def test_a_turning_car_flows_as_the_formula_says(yaw_rate: float) -> None:
    speed, start, heading = 6.0, np.array([9.0, -2.0, 0.0]), 0.4
    scene = plane([one_car(Arc(start, heading, speed, yaw_rate))])
    turn = lidars.sweep(SENSOR, scene, Arc(np.zeros(3), 0.0, 8.0), 0.0, 0, 0, noise=False)
    mine = turn.body == 1
    assert mine.sum() > 100
    flow = scene.displacement(turn.local, turn.body, 0.0, 0.1)[mine]
    seen, time = turn.world[mine], turn.cloud.time[mine].astype(float)  # type: ignore[index]
    if yaw_rate == 0.0:
        ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
        expected = np.tile(speed * 0.1 * ahead, (len(seen), 1))
    else:
        # about its centre of rotation: back to the stamp, then on by the whole interval
        centre = start + speed / yaw_rate * np.array([-np.sin(heading), np.cos(heading), 0])
        zero = np.zeros_like(time)
        at_stamp = np.einsum("nij,nj->ni", rotation(zero, zero, -yaw_rate * time), seen - centre)
        expected = at_stamp @ rotation(0.0, 0.0, yaw_rate * 0.1)[0].T - at_stamp
    assert np.abs(flow - expected).max() < 1e-4
    assert turn.moving[mine].all()


def test_a_cloud_warped_by_the_true_flow_lies_on_the_surfaces_of_the_target(
    street: tuple[Scene, Sweep, Sweep],
) -> None:
    """Cars, cyclists and walking people: rays shot at the warped points at the target's stamp
    meet their bodies where the points are."""
    scene, first, second = street
    stamp, end = 0.0, 0.1
    seen_at = first.cloud.time.astype(float)  # type: ignore[union-attr]
    moving = first.body > 0
    # where each point's body is at the stamp (the sweep caught it a little later)
    world = first.world.copy()
    for number in np.unique(first.body[moving]):
        rows = first.body == number
        turn, place = scene.bodies[number].motion.pose(seen_at[rows])
        now, here = scene.bodies[number].motion.pose(np.array([stamp]))
        local = np.einsum("nji,nj->ni", turn, world[rows] - place)
        world[rows] = local @ now[0].T + here[0]
    warped = world + scene.displacement(first.local, first.body, stamp, end)
    eye = second.world_from_sensor[:3, 3]
    away = warped - eye
    reach = np.linalg.norm(away, axis=1)
    directions = (away / reach[:, None]).astype(np.float32)
    hits = scene.cast(Rays(np.array([end]), eye[None], directions[None], 200.0))
    same = hits.body == first.body
    assert same[moving].mean() > 0.8  # the rest is hidden by then
    error = np.abs(hits.distance - reach)[same]
    assert np.median(error) < 0.001
    assert np.median(np.abs(hits.distance - reach)[same & moving]) < 0.01
    unmoved = np.abs(hits.distance - np.linalg.norm(world - eye, axis=1))[same & first.moving]
    assert np.median(unmoved) > 0.05  # without the flow they would not


def test_limbs_move_otherwise_than_the_trunk() -> None:
    motion = Arc(np.array([6.0, 0.0, 0.0]), 1.57, 1.4)
    scene = plane([pedestrian(np.random.default_rng(2), 3, motion, 1.4)])
    below = np.array([[0, 0, -0.3]], np.float32)
    flows = [
        scene.displacement(below, np.array([part], np.int16), 0.0, 0.1)[0]
        for part in range(1, len(scene.bodies))
    ]
    trunk, limbs = flows[0], np.array(flows[1:])
    assert np.allclose(trunk, [0.0, 0.14, 0], atol=2e-3)
    assert np.linalg.norm(limbs - trunk, axis=1).max() > 0.03


def test_the_moving_flag_has_its_threshold_at_half_a_metre_a_second() -> None:
    for speed, expected in ((0.48, False), (0.52, True)):
        scene = plane([one_car(Arc(np.array([8.0, 0.0, 0.0]), 0.0, speed))])
        turn = lidars.sweep(SENSOR, scene, Still(), 0.0, 0, 0, noise=False)
        assert turn.moving[turn.body == 1].all() == expected
        assert not turn.moving[turn.body == 0].any()


def test_the_shutter_rolls() -> None:
    """A wall beside a moving sensor is flat only after each point is put back to its own time."""
    wall = box((60, 0.2, 4), INDEX["brick"]).moved((0, 8, 0)).labelled(Category.BUILDING, 1)
    scene = plane([], wall)
    turn = lidars.sweep(SENSOR, scene, Arc(np.zeros(3), 0.3, 10.0, 0.4), 0.0, 0, 0, noise=False)
    mine = turn.category == Category.BUILDING
    across = turn.world[mine][:, 1]
    front = np.abs(across - 7.9) < 0.05
    assert front.mean() > 0.9
    assert np.ptp(across[front]) < 1e-3
    raw, deskewed = turn.cloud.points[mine][front], turn.deskewed.points[mine][front]

    def thickness(points: np.ndarray) -> float:
        spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
        return float(spread[2]) / len(points) ** 0.5

    assert thickness(deskewed) < 1e-3
    assert thickness(raw) > 0.02


def test_what_is_behind_is_hidden() -> None:
    screen = box((0.2, 6, 3), INDEX["brick"]).moved((6, 0, 0)).labelled(Category.BUILDING, 1)
    scene = plane([one_car(Arc(np.array([10.0, 0.0, 0.0]), 0.0, 5.0))], screen)
    turn = lidars.sweep(SENSOR, scene, Still(), 0.0, 0, 0)
    assert (turn.category == Category.CAR).sum() == 0


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_beam_patterns(pattern: str) -> None:
    beams = {"beams16": 16, "beams32": 32, "beams64": 64, "beams128": 128, "two_heads": 64}[pattern]
    lidar = Lidar(pattern=pattern, columns=360)
    room = box((20, 20, 10), INDEX["plaster"]).moved((0, 0, -3))
    turn = lidars.sweep(lidar, Scene(room, []), Still(), 5.0, 0, 0, noise=False)
    assert len(turn.cloud) == beams * 360
    assert set(turn.ring.tolist()) == set(range(beams))
    assert turn.cloud.stamp == 5.0
    assert turn.cloud.time is not None
    assert turn.cloud.time.min() >= 0.0
    assert turn.cloud.time.max() < 0.1


def test_ranges_are_as_noisy_as_they_say() -> None:
    room = box((20, 20, 10), INDEX["plaster"]).moved((0, 0, -3))
    lidar = Lidar(pattern="beams32", columns=720, beam_bias=0.0, mixed=0.0, drop_out=0.1)
    turn = lidars.sweep(lidar, Scene(room, []), Still(), 0.0, 3, 0)
    error = np.linalg.norm(turn.cloud.points, axis=1) - turn.true_range
    assert abs(float(error.std()) - 0.02) < 0.001
    assert abs(len(turn.cloud) / (32 * 720) - 0.9) < 0.02


def test_pairs_are_ready_for_a_solver() -> None:
    (sample,) = street_pairs([12], lidar=SENSOR)
    assert sample.prepared
    assert sample.flow is not None
    assert sample.dynamic is not None
    assert sample.category is not None
    assert 0.005 < sample.dynamic.mean() < 0.3
    assert np.abs(sample.flow[~sample.dynamic]).max() < 0.05
    assert (sample.category[sample.dynamic] > 0).all()
    assert np.abs(sample.source.points[:, :2]).max() <= 50.0
    assert sample.source.points[:, 2].min() > -3.0
    # static things match: most source points have a target point close by
    from scipy.spatial import cKDTree

    still = sample.source.points[~sample.dynamic]
    near = cKDTree(sample.target.points).query(still)[0]
    assert np.median(near) < 0.25
    moved = sample.source.points[sample.dynamic]
    warped = cKDTree(sample.target.points).query(moved + sample.flow[sample.dynamic])[0]
    assert np.median(warped) < np.median(cKDTree(sample.target.points).query(moved)[0])


def test_nobody_drives_through_anybody() -> None:
    place = streets.build(13, 6.0)
    times = np.arange(0.0, 6.0, 0.5)
    tracks = [place.ego.pose(times)[1]] + [actor.motion.pose(times)[1] for actor in place.actors]
    for a in range(len(tracks)):
        for b in range(a):
            assert np.linalg.norm((tracks[a] - tracks[b])[:, :2], axis=1).min() > 0.6


def test_the_pair_of_a_street_is_that_of_the_world() -> None:
    world = worlds.street(12, 0.3, SENSOR, rig=None)
    source, target = (sweep for sensors in world.run(0.2) for sweep in sensors.sweeps)
    sample = flow_sample("x", world.scene, source, target, SENSOR)
    (other,) = street_pairs([12], lidar=SENSOR, ego_error=False)
    assert np.array_equal(sample.source.points, other.source.points)
    assert sample.flow is not None and other.flow is not None
    assert np.array_equal(sample.flow, other.flow)
