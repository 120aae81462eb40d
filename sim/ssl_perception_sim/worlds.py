"""Worlds ready to run, by kind and seed."""

from __future__ import annotations

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception_sim import light, textures
from ssl_perception_sim import room as rooms
from ssl_perception_sim import street as streets
from ssl_perception_sim.camera import Light, StereoCamera, StereoRig
from ssl_perception_sim.lidar import Lidar
from ssl_perception_sim.materials import MATERIALS
from ssl_perception_sim.motion import Float
from ssl_perception_sim.randomness import stream
from ssl_perception_sim.road import StreetPlan
from ssl_perception_sim.room import RoomPlan
from ssl_perception_sim.scene import Scene
from ssl_perception_sim.vehicles import Drone, Scripted
from ssl_perception_sim.world import World

STREET_RIG = StereoRig(baseline=0.3, mount=(1.2, 0.15, 1.45), shadows=True)
ROOM_RIG = StereoRig(mount=(0.08, 0.03, 0.0))
ROOM_LIGHT = Light(direction=(0.25, 0.35, 0.9), sun=0.3, sky=0.75, haze=1e6)
FLIGHT_HEIGHT = 1.2  # m


def make(kind: str, seed: int, seconds: float) -> World:
    """The standard world of a kind: ``street`` (car with lidar and stereo) or ``room`` (drone).

    Raises:
        InputError: another kind.
    """
    if kind == "street":
        return street(seed, seconds)
    if kind == "room":
        return room(seed)
    raise InputError(f"unknown kind of world {kind!r}; choose room or street")


def street(
    seed: int,
    seconds: float,
    plan: StreetPlan | None = None,
    lidar: Lidar | None = None,
    rig: StereoRig | None = STREET_RIG,
) -> World:
    """A car that drives along a street with lidar and stereo (``rig=None``: without)."""
    place = streets.build(seed, seconds, plan)
    camera = None
    if rig is not None:
        atlas = textures.build(seed, set(MATERIALS))
        camera = StereoCamera(rig, place.scene, atlas, Light(), seed)
    return World(seed, place.scene, Scripted(place.ego), camera, lidar or Lidar())


def room(
    seed: int,
    plan: RoomPlan | None = None,
    rig: StereoRig = ROOM_RIG,
    lidar: Lidar | None = None,
) -> World:
    """A drone with a stereo camera in a room; it waits for commands."""
    chosen = plan or rooms.plan(seed)
    scene, taken = room_scene(seed, chosen)
    mesh = scene.bodies[0].mesh
    middle = np.array([0, 0, chosen.size[2] / 2])
    baked = light.ambient(mesh, scene.bodies[0].caster, middle, reach=1.2)
    atlas = textures.build(seed, set(MATERIALS), size=512, contrast=chosen.contrast)
    camera = StereoCamera(rig, scene, atlas, ROOM_LIGHT, seed, baked)
    position, yaw = free_pose(stream(seed, "start"), chosen, taken)
    tick = 1.0 / rig.rate
    return World(seed, scene, Drone(position, yaw), camera, lidar, tick=tick)


def room_scene(seed: int, plan: RoomPlan) -> tuple[Scene, list[tuple[Float, float]]]:
    """A room without sensors, and the footprints of what stands in it."""
    mesh, taken = rooms.build(seed, plan)
    return Scene(mesh, []), taken


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
