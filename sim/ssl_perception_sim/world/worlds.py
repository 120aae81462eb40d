"""Worlds ready to run: by kind and seed, or from a world file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception_sim.sensors.camera import Light, StereoCamera, StereoRig
from ssl_perception_sim.sensors.lidar import Lidar
from ssl_perception_sim.world import actors as kinds
from ssl_perception_sim.world import light, textures, world_file
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import street as streets
from ssl_perception_sim.world.categories import Category
from ssl_perception_sim.world.materials import INDEX, MATERIALS
from ssl_perception_sim.world.mesh import (
    Mesh,
    box,
    merge,
    tube,
)
from ssl_perception_sim.world.motion import (
    Arc,
    Float,
    Motion,
    Still,
)
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.room import RoomPlan
from ssl_perception_sim.world.scene import Actor, Body, Scene
from ssl_perception_sim.world.vehicles import (
    Car,
    Drone,
    Scripted,
    Vehicle,
)
from ssl_perception_sim.world.world import World
from ssl_perception_sim.world.world_file import (
    Driver,
    Mover,
    Thing,
    WorldFile,
)

STREET_RIG = StereoRig(baseline=0.3, mount=(1.2, 0.15, 1.45), shadows=True)
ROOM_RIG = StereoRig(mount=(0.08, 0.03, 0.0))
ROOM_LIGHT = Light(direction=(0.25, 0.35, 0.9), sun=0.3, sky=0.75, haze=1e6)
FLIGHT_HEIGHT = 1.2  # m


def make(kind: str, seed: int, seconds: float) -> World:
    """A world by its kind (``street``: car with lidar and stereo; ``room``: drone with stereo), or
    from a world file.

    Args:
        kind: ``street``, ``room``, or the path of a .yaml file.
        seed: unless the file names one.
        seconds: that it must last.

    Raises:
        InputError: another kind, or a file that can't be used.
    """
    if kind.endswith((".yaml", ".yml")):
        return build(world_file.load(Path(kind)), seed, seconds)
    if kind not in ("room", "street"):
        raise InputError(f"unknown kind of world {kind!r}; choose room, street or a .yaml file")
    return build(WorldFile.model_validate({"kind": kind}), seed, seconds)


def street(
    seed: int, seconds: float, lidar: Lidar | None = None, rig: StereoRig | None = STREET_RIG
) -> World:
    """A car that drives along a street with lidar and stereo (``rig=None``: without)."""
    return build(WorldFile(kind="street", lidar=lidar or "default", camera=rig), seed, seconds)


def room(seed: int, plan: RoomPlan | None = None, rig: StereoRig = ROOM_RIG) -> World:
    """A drone with a stereo camera in a room; it waits for commands."""
    return build(WorldFile(kind="room", room=plan, camera=rig), seed)


def build(file: WorldFile, seed: int = 0, seconds: float = 60.0) -> World:
    """The world that a file describes.

    Args:
        file: the description.
        seed: unless the file names one.
        seconds: that its traffic must last.

    Raises:
        InputError: a material that doesn't exist, or a vehicle that isn't installed.
    """
    seed = seed if file.seed is None else file.seed
    indoors = file.kind == "room"
    default = file.lidar == "default"
    lidar = (None if indoors else Lidar()) if default else file.lidar
    rig = (ROOM_RIG if indoors else STREET_RIG) if file.camera == "default" else file.camera
    assert not isinstance(lidar, str)
    assert not isinstance(rig, str)
    if indoors:
        plan = file.room or rooms.plan(seed)
        static, taken = rooms.build(seed, plan)
        driver = file.vehicle or Driver(kind="drone")
        position, yaw = free_pose(stream(seed, "start"), plan, taken, height=driver.height)
        contrast, texture_size = plan.contrast, 512
        actors: list[Actor] = []
        path: Motion = Still(np.eye(3), position)
    else:
        place = streets.build(seed, seconds, file.street)
        static, actors, path = place.static, place.actors, place.ego
        driver = file.vehicle or Driver(kind="own_path")
        (turn,), (position,) = path.pose(np.zeros(1))
        yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
        contrast, texture_size = 1.0, 256
    scene = Scene(
        merge([static, *(_thing(thing, 10_000 + k) for k, thing in enumerate(file.things))]),
        [*actors, *(_mover(seed, mover, 20_000 + k) for k, mover in enumerate(file.movers))],
    )
    camera = None
    if rig is not None:
        baked = None
        if indoors:
            middle = np.array([0.0, 0.0, plan.size[2] / 2])
            still = light.ambient(scene.bodies[0].mesh, scene.bodies[0].caster, middle, reach=1.2)
            baked = np.ones((len(scene.material), 3), np.float32)
            baked[: len(still)] = still
        atlas = textures.build(seed, set(MATERIALS), texture_size, contrast)
        lamp = file.light or (ROOM_LIGHT if indoors else Light())
        camera = StereoCamera(rig, scene, atlas, lamp, seed, baked)
    tick = 1.0 / rig.rate if indoors and rig is not None else 0.1
    return World(
        seed, scene, _vehicle(driver, position, yaw, path), camera, lidar, tick,
        file.odometry.rate, file.odometry.drift, file.faults,
    )  # fmt: skip


def _vehicle(driver: Driver, position: Float, yaw: float, path: Motion) -> Vehicle:
    if driver.kind == "own_path":
        return Scripted(path)
    if driver.kind == "car":
        return Car(position, yaw, lag=driver.lag, acceleration=driver.acceleration)
    if driver.kind == "rotorpy":
        from ssl_perception_sim.world.rotorpy_drone import RotorPyDrone

        return RotorPyDrone(position, yaw)
    return Drone(position, yaw, lag=driver.lag, acceleration=driver.acceleration)


def _thing(thing: Thing, object_id: int) -> Mesh:
    if thing.material not in INDEX:
        raise InputError(
            f"things.material: {thing.material!r} is none of {', '.join(sorted(INDEX))}"
        )
    material = INDEX[thing.material]
    if thing.shape == "box":
        mesh = box(thing.size, material)
    else:
        radius = thing.size[0] / 2
        mesh = tube(radius, radius, thing.size[2], material, sides=24)
    mesh = mesh.moved(thing.position, np.deg2rad(thing.yaw))
    return mesh.labelled(Category.CLUTTER, object_id)


def _mover(seed: int, mover: Mover, object_id: int) -> Actor:
    rng = stream(seed, "mover", object_id)
    motion = Arc(
        np.array(mover.position), np.deg2rad(mover.yaw), mover.speed, np.deg2rad(mover.yaw_rate)
    )
    if mover.what == "pedestrian":
        return kinds.pedestrian(rng, object_id, motion, mover.speed)
    if mover.what == "cyclist":
        return kinds.cyclist(rng, object_id, motion, mover.speed)
    mesh = {"car": kinds.car, "truck": kinds.truck, "bus": kinds.bus}[mover.what](rng, object_id)
    return Actor(motion, [Body(mesh, motion)], mover.what)


def free_pose(
    rng: np.random.Generator,
    plan: RoomPlan,
    taken: list[tuple[Float, float]],
    clearance: float = 0.45,
    height: float = FLIGHT_HEIGHT,
) -> tuple[Float, float]:
    """A position (3,) and yaw with room around, as far as there is any."""
    half = np.array(plan.size[:2]) / 2 - clearance - 0.15
    best, best_gap = np.zeros(2), -np.inf
    for _ in range(200):
        spot = rng.uniform(-1, 1, 2) * np.maximum(half, 0.1)
        gap = min((np.hypot(*(spot - c)) - r for c, r in taken), default=np.inf)
        if gap > best_gap:
            best, best_gap = spot, gap
        if gap > clearance:
            break
    return np.array([*best, min(height, plan.size[2] - 0.5)]), float(rng.uniform(-np.pi, np.pi))
