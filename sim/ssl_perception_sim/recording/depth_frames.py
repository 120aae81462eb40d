"""Single images with true depth, from random places: what a student is trained on beforehand.

Rooms and streets differ in size, clutter, textures, contrast and light; cameras in height, tilt and
field of view. Each seed is one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ssl_perception.depth.student.architecture import NANO, Architecture
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.types import DepthMap, FloatArray
from ssl_perception_sim.sensors.camera import Frame, Light, StereoCamera, StereoRig
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.motion import Float, Still, rotation
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.room import Floor, RoomPlan, Wall
from ssl_perception_sim.world.world_file import WorldFile

STREET_SECONDS = 30.0
NEAR_SHARE = 0.4  # of the views in rooms look at what is nearest
Example = tuple[NDArray[np.uint8], FloatArray]  # image as the student sees it, log depth


def room_frames(seed: int, count: int, size: Architecture = NANO) -> Iterator[Example]:
    """Views in one room, as a drone has them: many of them close to something."""
    rng = stream(seed, "training room")
    plan = _room_plan(rng)
    world = _world("room", seed, rng, room=plan, camera=_rig(rng, (68.0, 82.0)))
    assert world.camera is not None
    yield from _views(world.camera, seed, plan, count, rng, (0.7, 1.7), 2.5, size)


def drone_frames(seed: int, count: int, size: Architecture = NANO) -> Iterator[Example]:
    """Views in a room of the simulator as it usually is, by its usual drone."""
    camera = worlds.room(seed).camera
    assert camera is not None
    rng = stream(seed, "training flight")
    plan, height = rooms.plan(seed), worlds.FLIGHT_HEIGHT
    yield from _views(camera, seed, plan, count, rng, (height - 0.1, height + 0.1), 1.0, size)


def street_frames(seed: int, count: int, size: Architecture = NANO) -> Iterator[Example]:
    """Views along one street, as a car has them, at random moments of its drive."""
    rng = stream(seed, "training street")
    height = float(rng.uniform(1.0, 2.0))
    rig = _rig(rng, (68.0, 90.0), mount=(1.2, 0.15, height), shadows=bool(rng.random() < 0.5))
    world = _world("street", seed, rng, camera=rig, lidar=None)
    assert world.camera is not None
    for k, stamp in enumerate(np.sort(rng.uniform(0.0, STREET_SECONDS, count))):
        motion = world.vehicle.motion
        yield _example(world.camera.capture(motion, float(stamp), k, with_right=False), size)


def _views(
    camera: StereoCamera,
    seed: int,
    plan: RoomPlan,
    count: int,
    rng: np.random.Generator,
    heights: tuple[float, float],
    tilt: float,
    size: Architecture,
) -> Iterator[Example]:
    """Random poses at ``heights``, m, tilted by ``tilt`` degrees (std)."""
    _, taken = rooms.build(seed, plan)
    for k in range(count):
        clearance, height = float(rng.uniform(0.15, 0.5)), float(rng.uniform(*heights))
        place, yaw = worlds.free_pose(rng, plan, taken, clearance, height)
        if rng.random() < NEAR_SHARE:
            yaw = _towards_nearest(place, plan, taken) + float(rng.normal(0.0, 0.6))
        roll, pitch = np.deg2rad(rng.normal(0.0, tilt, 2))
        pose = Still(rotation(roll, pitch, yaw)[0], place)
        yield _example(camera.capture(pose, 0.0, k, with_right=False), size)


def _towards_nearest(place: Float, plan: RoomPlan, taken: list[tuple[Float, float]]) -> float:
    """Yaw, rad, of the nearest wall or thing."""
    half = np.array(plan.size[:2]) / 2
    gaps = [(half[0] - place[0], 0.0), (half[0] + place[0], np.pi)]
    gaps += [(half[1] - place[1], np.pi / 2), (half[1] + place[1], -np.pi / 2)]
    for centre, radius in taken:
        away = centre - place[:2]
        gaps.append((np.hypot(*away) - radius, np.arctan2(away[1], away[0])))
    return float(min(gaps)[1])


def _room_plan(rng: np.random.Generator) -> RoomPlan:
    size = (*rng.uniform(3.5, 8.0, 2), rng.uniform(2.3, 3.2))
    walls = rng.choice([w for w in get_args(Wall) if w != "blank"], 4)
    density = rng.uniform(2.0, 8.0) / 25.0  # things per square metre
    return RoomPlan.model_validate(
        {
            "size": size,
            "walls": walls.tolist(),
            "floor": str(rng.choice(get_args(Floor))),
            "clutter": int(density * size[0] * size[1]),
            "contrast": float(rng.choice([1.0, rng.uniform(0.4, 1.0)])),
        }
    )


def _rig(rng: np.random.Generator, view: tuple[float, float], **options: Any) -> StereoRig:
    return StereoRig(
        field_of_view=float(rng.uniform(*view)),
        noise=float(rng.uniform(1.0, 4.0)),
        vignetting=float(rng.uniform(0.0, 0.4)),
        blur=float(rng.uniform(0.3, 1.0)),
        **options,
    )


def _world(kind: str, seed: int, rng: np.random.Generator, **options: Any) -> worlds.World:
    outdoors = kind == "street"
    light = Light(
        direction=(*rng.uniform(-0.7, 0.7, 2), float(rng.uniform(0.3, 1.0))),
        sun=float(rng.uniform(0.1, 1.0)),
        sky=float(rng.uniform(0.4, 1.0)),
        haze=float(rng.uniform(150.0, 800.0)) if outdoors else 1e6,
    )
    return worlds.build(WorldFile(kind=kind, light=light, **options), seed, STREET_SECONDS)


def _example(frame: Frame, size: Architecture) -> Example:
    depth = DepthMap(frame.depth, frame.pair.camera, frame.pair.stamp)
    label = pseudo_label(depth, grid=size.grid)
    assert label is not None
    return size.shrink(frame.pair.left), label
