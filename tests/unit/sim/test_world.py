"""Worlds from files, faults of messages, vehicles, bags, and the same bytes every time."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ssl_perception.datasets import open_depth, open_flow
from ssl_perception.errors import InputError
from ssl_perception.io.open_log import open_log
from ssl_perception.obstacles.avoid import Command
from ssl_perception.types import Odometry, PointCloud, StereoPair
from ssl_perception_sim.recording.pairs import flow_sample
from ssl_perception_sim.recording.record import record, run_simulate
from ssl_perception_sim.sensors.picture_faults import Picture
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.motion import Recorded
from ssl_perception_sim.world.vehicles import GRAVITY, Car, Drone
from ssl_perception_sim.world.world_file import load, parse

EXAMPLES = Path(__file__).resolve().parents[3] / "sim" / "worlds"
SMALL_STREET = {
    "kind": "street",
    "seed": 21,
    "street": {"length": 40},
    "lidar": {"pattern": "beams16", "columns": 256},
    "camera": {"width": 96, "height": 64, "baseline": 0.3, "mount": [1.2, 0.15, 1.45]},
}


def sensors_of(seconds: float, **changes: object) -> list:
    world = worlds.build(parse({**SMALL_STREET, "camera": None, **changes}), seconds=seconds)
    return list(world.run(seconds))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: castle", "kind: input should be 'room' or 'street', not 'castle'"),
        ("seed: 3", "kind: missing"),
        ("kind: room\ncolour: red", "colour: unknown key"),
        ("kind: room\nroom: {clutterr: 3}", "room.clutterr: unknown key"),
        ("kind: street\nlidar: {columns: 3}", "lidar.columns: input should be greater than"),
        ("kind: street\ncamera: {wdth: 3}", "camera.wdth: unknown key"),
        ("kind: room\nroom: {size: [5, 5, .nan]}", "room.size.2: input should be a finite"),
        ("kind: room\nfaults: [{fault: gremlin}]", "faults.0: fault must be one of"),
        ("kind: room\nfaults: [{fault: late, delay: -3}]", "faults.0.delay: input should be"),
        ("kind: room\nfaults: [{fault: late, dly: 3}]", "faults.0.dly: unknown key"),
        ("kind: street\nstreet: {slowest: 20, fastest: 5}", "street: value error, slowest must"),
        ("kind: [", "not valid YAML"),
        ("just a word", "must hold keys and values, not str"),
        ("kind: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_bad_world_file_gets_one_line_that_names_the_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "world.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: {complaint}")
    assert "\n" not in str(caught.value)


def test_unknown_kinds_and_materials_are_refused() -> None:
    with pytest.raises(InputError, match="unknown kind of world 'forest'"):
        worlds.make("forest", 0, 1.0)
    with pytest.raises(InputError, match=r"things\.material: 'cheese' is none of"):
        worlds.build(parse({"kind": "room", "camera": None, "things": [{"material": "cheese"}]}))


def test_a_street_without_end_is_refused() -> None:
    with pytest.raises(InputError, match=r"3600 s at .* m/s need .* m of street"):
        worlds.make("street", 0, 3600.0)


def test_a_world_file_can_put_anything_anywhere() -> None:
    world = worlds.build(
        parse({
            "kind": "room", "seed": 4, "room": {"size": [40, 40, 10], "clutter": 0},
            "camera": None, "lidar": {"pattern": "beams32", "columns": 360},
            "vehicle": {"kind": "drone", "height": 2.0},
            "things": [{"shape": "cylinder", "size": [1, 1, 5], "position": [5, 5, 0]}],
            "movers": [
                    {"what": "car", "position": [10, -8, 0], "speed": 2.0},
                    {"what": "truck", "position": [-10, -8, 0], "speed": 2.0},
                    {"what": "bus", "position": [-4, 12, 0], "speed": 2.0},
                    {"what": "cyclist", "position": [4, -5, 0], "speed": 2.0},
                    {"what": "pedestrian", "position": [-4, -5, 0], "speed": 2.0},
                ],
        })
    )  # fmt: skip
    (sweep,) = world.step().sweeps
    assert {10_000, *range(20_000, 20_005)} <= set(sweep.object_id.tolist())
    assert sweep.moving[sweep.object_id == 20_000].all()


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_example_worlds_load(file: Path) -> None:
    assert load(file).seed is not None


def test_time_stamps_and_arrivals() -> None:
    steps = sensors_of(0.5)
    sweeps = [(r.arrival, r.value) for s in steps for r in s.readings if hasattr(r.value, "ring")]
    assert [round(arrival, 6) for arrival, _ in sweeps] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [round(sweep.cloud.stamp, 6) for _, sweep in sweeps] == [0.0, 0.1, 0.2, 0.3, 0.4]
    poses = [pose for s in steps for pose in s.odometry]
    assert len(poses) == 25


def test_lost_late_and_overtaking_messages() -> None:
    plain = sensors_of(1.0)
    assert sum(len(s.sweeps) for s in plain) == 10

    lost = sensors_of(1.0, faults=[{"fault": "dropped", "sensor": "lidar", "share": 0.5}])
    kept = [sweep.cloud.stamp for s in lost for sweep in s.sweeps]
    assert 1 <= len(kept) < 10
    assert sum(len(s.odometry) for s in lost) == 50

    late = sensors_of(1.0, faults=[{"fault": "late", "sensor": "lidar", "delay": 0.25}])
    for step in late:
        for sweep in step.sweeps:
            assert step.time - sweep.cloud.stamp >= 0.1 + 0.25 - 1e-6
    assert sum(len(s.sweeps) for s in late) == 7

    overtaking = sensors_of(1.0, faults=[{"fault": "reordered", "sensor": "lidar", "share": 0.4}])
    stamps = [sweep.cloud.stamp for s in overtaking for sweep in s.sweeps]
    assert stamps != sorted(stamps)


def test_a_clock_jump_moves_stamps_and_nothing_else() -> None:
    plain = [sweep for s in sensors_of(0.4) for sweep in s.sweeps]
    jumped = [
        sweep
        for s in sensors_of(0.4, faults=[{"fault": "clock_jump", "jump": -5.0, "start": 0.25}])
        for sweep in s.sweeps
    ]
    off = [b.cloud.stamp - a.cloud.stamp for a, b in zip(plain, jumped, strict=True)]
    assert np.allclose(off, [0, 0, -5, -5])
    assert np.array_equal(plain[3].cloud.points, jumped[3].cloud.points)


def test_a_dead_sector_gives_nothing() -> None:
    faults = [{"fault": "lidar_dead_sector", "first": 20, "last": 80, "start": 0.1}]
    before, after = (list(s.sweeps) for s in sensors_of(0.2, faults=faults))

    def inside(sweep) -> int:  # type: ignore[no-untyped-def]
        points = sweep.cloud.points
        azimuth = np.rad2deg(np.arctan2(points[:, 1], points[:, 0]))
        return int(((azimuth > 20.5) & (azimuth < 79.5)).sum())

    assert inside(before[0]) > 50
    assert inside(after[0]) == 0
    assert len(after[0].cloud) > 500


def angles_of(drone: Drone) -> np.ndarray:
    assert isinstance(drone.motion, Recorded)
    return drone.motion._rows[-1][4:7]


def test_the_drone_obeys_with_lag_and_tilts_as_it_accelerates() -> None:
    drone = Drone(np.array([0.0, 0, 1]), 0.0)
    drone.drive(Command(0.5), 0.0, 0.1)
    assert 0.1 < drone.velocity[0] < 0.3  # not at once
    drone.drive(Command(0.5), 0.1, 3.0)
    assert abs(drone.velocity[0] - 0.5) < 0.01
    start = drone.position[0]
    drone.drive(Command(0.0), 3.0, 6.0)
    assert 0.09 < drone.position[0] - start < 0.15  # it needs its way to stop

    fast = Drone(np.array([0.0, 0, 1]), 0.0, acceleration=3.0)
    fast.drive(Command(20.0), 0.0, 1.0)
    assert abs(fast.velocity[0] - 3.0) < 0.05  # 3 m/s2 for a second
    assert abs(angles_of(fast)[1] - np.arctan2(3.0, GRAVITY)) < 0.01
    turning = Drone(np.array([0.0, 0, 1]), 0.0)
    turning.drive(Command(0.0, 0.8), 0.0, 2.0)
    assert abs(turning.yaw - 0.8 * (2.0 - 0.25)) < 0.02


def test_rotorpy_flies_the_same_commands_or_says_that_it_is_missing() -> None:
    hall = {"clutter": 0, "size": [20, 20, 4]}
    vehicle = {"kind": "rotorpy"}
    values = {"kind": "room", "seed": 4, "camera": None, "room": hall, "vehicle": vehicle}
    if importlib.util.find_spec("rotorpy") is None:
        with pytest.raises(InputError, match=r"RotorPy is not installed; pip install"):
            worlds.build(parse(values))
        return
    world = worlds.build(parse(values))
    for _ in range(20):
        world.step(Command(0.5))
    turn, place = world.vehicle.motion.pose(np.array([0.0, 1.0, 2.0]))
    speed = np.linalg.norm(place[2] - place[1])
    assert 0.4 < speed < 0.6
    assert abs(place[2][2] - place[0][2]) < 0.1
    assert (place[2] - place[0]) @ turn[0][:, 0] > 0.5  # forward
    for _ in range(20):
        world.step(Command(0.0, 0.8))
    assert world.vehicle.motion.pose(np.array([4.0]))[0][0][0, 0] != turn[2][0, 0]


def test_a_car_cannot_turn_on_the_spot() -> None:
    car = Car(np.zeros(3), 0.0)
    car.drive(Command(0.0, 1.0), 0.0, 2.0)
    assert car.yaw == 0.0
    car.drive(Command(5.0, 0.5), 2.0, 8.0)
    assert car.yaw > 0.5
    assert car.position[0] > 1.0


def test_closed_loop_commands_move_the_camera() -> None:
    small = {"width": 64, "height": 48, "baseline": 0.06}
    world = worlds.build(
        parse({"kind": "room", "seed": 4, "room": {"clutter": 1}, "camera": small})
    )
    still = [world.step(Command()).frames[0] for _ in range(2)]
    turned = [world.step(Command(0.0, 0.8)).frames[0] for _ in range(8)][-1]
    assert np.allclose(still[0].world_from_camera, still[1].world_from_camera)
    assert not np.allclose(still[1].world_from_camera, turned.world_from_camera)
    assert world.step(Command()).clearance > 0


def test_a_fork_goes_its_own_way_and_leaves_the_world_alone() -> None:
    world, twin = worlds.room(3), worlds.room(3)
    for _ in range(5):
        world.step(Command(0.5))
        twin.step(Command(0.5))
    black = Picture(fault="camera_black", side="right", start=world.time)
    fork = world.fork([black])
    for _ in range(5):
        blind = fork.step(Command(0.0, 1.0)).frames[0]
    assert blind.pair.left.any() and not blind.pair.right.any()
    assert np.isfinite(blind.depth).all()
    ours, theirs = world.step(Command(0.5)).frames[0], twin.step(Command(0.5)).frames[0]
    np.testing.assert_array_equal(ours.pair.left, theirs.pair.left)
    np.testing.assert_array_equal(ours.pair.right, theirs.pair.right)
    assert ours.pair.right.any()


def test_odometry_drifts_but_little() -> None:
    world = worlds.build(parse({**SMALL_STREET, "camera": None, "lidar": None}), seconds=10.0)
    poses = [pose for s in world.run(10.0) for pose in s.odometry]
    _, true = world.vehicle.motion.pose(np.array([p.stamp for p in poses]))
    error = np.linalg.norm(np.stack([p.world_from_body[:3, 3] for p in poses]) - true, axis=1)
    way = np.linalg.norm(np.diff(true, axis=0), axis=1).sum()
    assert error[0] == 0.0
    assert 1e-4 * way < error[-1] < 0.03 * way


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bags")
    world = worlds.build(parse(SMALL_STREET), seconds=0.6)
    record(world, folder / "street.mcap", 0.6)
    return folder / "street.mcap"


def test_a_simulated_bag_is_read_as_any_other(bag: Path) -> None:
    frames = list(open_log(bag))
    clouds = [f.value for f in frames if isinstance(f.value, PointCloud)]
    pairs = [f.value for f in frames if isinstance(f.value, StereoPair)]
    poses = [f.value for f in frames if isinstance(f.value, Odometry)]
    assert (len(clouds), len(pairs), len(poses)) == (6, 6, 30)
    assert clouds[0].time is not None
    assert abs(pairs[0].baseline - 0.3) < 1e-9


def test_the_bags_truth_is_the_worlds(bag: Path) -> None:
    flow = open_flow("sim", bag)
    assert len(flow) == 4  # the first sweep began before the first pose
    world = worlds.build(parse({**SMALL_STREET, "camera": None}), seconds=0.6)
    sweeps = [sweep for sensors in world.run(0.6) for sweep in sensors.sweeps]
    assert world.lidar is not None
    expected = flow_sample("x", world.scene, sweeps[2], sweeps[3], world.lidar)
    got = flow[1]
    assert np.abs(got.source.points - expected.source.points).max() < 1e-3
    assert np.abs(got.target.points - expected.target.points).max() < 1e-3
    assert got.flow is not None and expected.flow is not None
    assert got.category is not None and expected.category is not None
    assert np.abs(got.flow - expected.flow).max() < 1e-4
    assert np.array_equal(got.category, expected.category)
    assert np.abs(got.source.origin - expected.source.origin).max() < 1e-3

    depth = open_depth("sim", bag)
    assert len(depth) == 6
    assert np.nanmin(depth[0].depth) > 0.5
    assert 0.3 < depth[0].non_occluded.mean() < 1.0


def test_a_bag_without_truth_is_refused(tmp_path: Path) -> None:
    from ssl_perception.io.output import OutputBag

    with OutputBag(tmp_path / "empty.mcap") as empty:
        empty.odometry("odom", 0, Odometry(np.eye(4)))
    with pytest.raises(InputError, match="it lacks /points"):
        open_flow("sim", tmp_path / "empty.mcap")


def test_the_same_seed_gives_the_same_bytes_in_another_process(bag: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from ssl_perception_sim.world import worlds; "
        "from ssl_perception_sim.recording.record import record; "
        "from ssl_perception_sim.world.world_file import parse; "
        f"record(worlds.build(parse({SMALL_STREET!r}), seconds=0.6), Path(sys.argv[1]), 0.6)"
    )
    other = tmp_path / "again.mcap"
    environment = {"PYTHONHASHSEED": "77", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code, str(other)], check=True, env=environment)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (bag, other)]
    assert digests[0] == digests[1]


def test_another_seed_gives_another_world() -> None:
    first, second = (sensors_of(0.1, seed=seed)[0].sweeps[0] for seed in (21, 22))
    assert len(first.cloud) != len(second.cloud) or not np.array_equal(
        first.cloud.points, second.cloud.points
    )


def test_simulate_says_what_it_wrote(tmp_path: Path) -> None:
    file = tmp_path / "world.yaml"
    file.write_text("{kind: room, seed: 5, room: {clutter: 0}, camera: {width: 64, height: 48}}")
    console = Console(record=True, width=200, quiet=False)
    run_simulate(str(file), tmp_path / "a.mcap", 0.3, 0, tmp_path / "a.json", console)
    printed = " ".join(console.export_text().split())  # lines may be broken anywhere
    assert "seed 5, 0.3 s: 0 sweeps, 3 stereo pairs" in printed
    assert '"pairs": 3' in (tmp_path / "a.json").read_text()
    with pytest.raises(InputError, match="no such folder"):
        run_simulate("room", tmp_path / "none" / "a.mcap", 0.3, 0, None, console)
