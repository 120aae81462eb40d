"""Straight from the simulator into training and tests, without a bag in between.

for sample in street_pairs(range(100)):      # FlowSample: source, target, flow, classes
    flow = estimate_flow(sample.source, sample.target)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ssl_perception.datasets.samples import FlowSample
from ssl_perception_sim.sensors import lidar as lidars
from ssl_perception_sim.sensors.camera import Frame, StereoRig
from ssl_perception_sim.sensors.lidar import Lidar, Sweep
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import street as streets
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.categories import FOREGROUND
from ssl_perception_sim.world.motion import (
    Float,
    Still,
    rotation,
    transform,
)
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.road import StreetPlan
from ssl_perception_sim.world.room import RoomPlan
from ssl_perception_sim.world.scene import Scene
from ssl_perception_sim.world.world import World

PAIR_LIDAR = Lidar(pattern="two_heads", columns=1800, reach=75.0, drop_out=0.05)


def street_pairs(
    seeds: Iterable[int],
    lidar: Lidar = PAIR_LIDAR,
    plan: StreetPlan | None = None,
    max_range: float = 50.0,
    ego_error: bool = True,
    per_street: int = 1,
) -> Iterator[FlowSample]:
    """Pairs of sweeps from streets, ready for a solver.

    Both clouds are in the axes of the car's body at the target's stamp (x ahead, z up, z = 0 on
    the road), without ground. The categories are those of ``categories.Category``, background 0.

    Args:
        seeds: one street each.
        lidar: the sensor. plan: the kind of street; None: chosen by each seed.
        max_range: m, |x| and |y| of the source; the target reaches 1.5 m farther.
        ego_error: move the source by as much as odometry is wrong (1 cm, 0.03 degrees).
        per_street: so many pairs from each, 1.5 s apart: a street costs more than a sweep.
    """
    for seed in seeds:
        place = streets.build(seed, 0.3 + 1.5 * (per_street - 1), plan)
        scene = Scene(place.static, place.actors)
        for number in range(per_street):
            first = round(1.5 * number * lidar.rate)
            source, target = (
                lidars.sweep(lidar, scene, place.ego, lidar.period * k, seed, k)
                for k in (first, first + 1)
            )
            name = f"street_{seed}" if per_street == 1 else f"street_{seed}_{number}"
            error = seed * per_street + number if ego_error else None
            yield flow_sample(name, scene, source, target, lidar, max_range, error)


def flow_sample(
    name: str,
    scene: Scene,
    source: Sweep,
    target: Sweep,
    lidar: Lidar,
    max_range: float = 50.0,
    error_seed: int | None = None,
) -> FlowSample:
    """Two sweeps as a sample: in the body's axes at the target's stamp, without ground.

    Args:
        error_seed: of a small error of ego motion; None: exact.
    """
    world_from_body = target.world_from_sensor @ np.linalg.inv(lidar.vehicle_from_lidar)
    start, end = source.cloud.stamp, target.cloud.stamp
    shift = scene.displacement(source.local, source.body, start, end)
    flow = (shift @ world_from_body[:3, :3]).astype(np.float32)
    seen, aim = source.seen_from(world_from_body), target.seen_from(world_from_body)
    if error_seed is not None:
        seen = seen.transformed(_ego_error(error_seed))
    keep = ~source.ground & (np.abs(seen.points[:, :2]).max(axis=1) <= max_range)
    keep_target = ~target.ground & (np.abs(aim.points[:, :2]).max(axis=1) <= max_range + 1.5)
    category = source.category[keep]
    foreground = np.isin(category, FOREGROUND)
    flow = flow[keep]
    return FlowSample(
        name=name,
        source=seen.select(keep),
        target=aim.select(keep_target),
        flow=flow,
        valid=np.ones(len(flow), np.bool_),
        dynamic=np.linalg.norm(flow, axis=1) >= 0.5 * (end - start),
        foreground=foreground,
        category=np.where(foreground, category, 0).astype(np.uint8),
    )


def _ego_error(seed: int) -> Float:
    """1 cm along the ground, 3 mm up, 0.5 mrad of yaw (standard deviations)."""
    rng = stream(seed, "ego error")
    turn = rotation(0.0, 0.0, rng.normal(0, 5e-4))[0]
    return transform(turn, rng.normal(0, [0.01, 0.01, 0.003]))


def street_sweeps(seed: int, seconds: float, lidar: Lidar | None = None) -> Iterator[Sweep]:
    """Raw sweeps of a drive, one after the other, each with its truth."""
    world = street_world(seed, seconds, lidar)
    for sensors in world.run(seconds):
        yield from sensors.sweeps


def street_world(seed: int, seconds: float, lidar: Lidar | None = None) -> World:
    """A street without a camera: ``world.scene.displacement`` gives flow between any two times."""
    return worlds.street(seed, seconds, lidar, rig=None)


def room_frames(
    seed: int,
    count: int,
    plan: RoomPlan | None = None,
    rig: StereoRig = worlds.ROOM_RIG,
    first: int = 0,
) -> Iterator[Frame]:
    """Stereo pairs with true depth from random free poses in one room.

    Args:
        seed: of room and poses. count: pairs. plan: of the room; None: chosen by the seed.
        rig: the camera. first: number of the first pose; later ones are other poses.
    """
    chosen = plan or rooms.plan(seed)
    world = worlds.room(seed, chosen, rig)
    _, taken = rooms.build(seed, chosen)
    assert world.camera is not None
    for k in range(first, first + count):
        rng = stream(seed, "pose", k)
        position, yaw = worlds.free_pose(rng, chosen, taken, clearance=0.3)
        position[2] += rng.uniform(-0.3, 0.3)
        tilt = rng.normal(0, 0.05, 2)
        yield world.camera.capture(
            Still(rotation(tilt[0], tilt[1], yaw)[0], position), k / rig.rate, k
        )
