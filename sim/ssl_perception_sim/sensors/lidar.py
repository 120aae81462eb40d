"""A lidar, spinning or solid-state: beams, rolling shutter, and what goes wrong in a real one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ssl_perception.config import Section
from ssl_perception.types import PointCloud
from ssl_perception_sim.world.categories import Category
from ssl_perception_sim.world.materials import MATERIALS
from ssl_perception_sim.world.motion import Float, Motion, rotation, transform
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.scene import Rays, Scene

REFLECTANCE = np.array([m.reflectance for m in MATERIALS.values()], np.float32)
GLASS = np.array([m.glass for m in MATERIALS.values()], np.float32)

# Echo (reflectance sqrt(cos) / range^2) at which a third of the pulses is lost: road at 60 m.
WEAK_ECHO = np.float32(6e-6)


@dataclass(frozen=True)
class Head:
    """One spinning head: beam elevations (rad), height above the sensor origin (m), and where in
    the turn it starts (share of a turn)."""

    elevations: tuple[float, ...]
    height: float = 0.0
    start: float = 0.0


def _fan(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(np.deg2rad(np.linspace(low, high, count)))


_VLP32 = (-25, -15.639, -11.31, -8.843, -7.254, -6.148, -5.333, -4.667, -4, -3.667, -3.333, -3,
          -2.667, -2.333, -2, -1.667, -1.333, -1, -0.667, -0.333, 0, 0.333, 0.667, 1, 1.333,
          1.667, 2.333, 3.333, 4.667, 7, 10.333, 15)  # fmt: skip
_DENSE = tuple(np.deg2rad(_VLP32))

# name -> heads. Angles from the makers' data sheets.
PATTERNS: dict[str, tuple[Head, ...]] = {
    "beams16": (Head(_fan(-15.0, 15.0, 16)),),
    "beams32": (Head(_fan(-30.67, 10.67, 32)),),
    "beams64": (Head(_fan(-24.33, -8.83, 32) + _fan(-8.33, 2.0, 32)),),
    "beams128": (Head(_fan(-22.5, 22.5, 128)),),
    "two_heads": (Head(_DENSE, 0.09, 0.0), Head(tuple(-e for e in _DENSE[::-1]), -0.09, 0.5)),
}

# A solid-state lidar looks ahead through two prisms that turn against each other: a rosette that
# doesn't repeat. Field of view and turns a second as published of Livox's Mid series.
ROSETTE = "rosette"
ROSETTE_VIEW = np.deg2rad(70.4)
ROSETTE_TURNS = (121.57, -77.73)
ROSETTE_PULSES = 24  # per column

Pattern = Literal["beams16", "beams32", "beams64", "beams128", "two_heads", "rosette"]


class Lidar(Section):
    """What the sensor is."""

    pattern: Pattern = Field("beams64", description="beam elevations")
    columns: int = Field(
        1024, ge=16, le=8192, description="azimuth steps a turn (rosette: times 24 pulses)"
    )
    rate: float = Field(10.0, gt=0.1, le=100, description="turns a second")
    reach: float = Field(100.0, gt=1, le=500, description="m")
    range_noise: float = Field(0.02, ge=0, le=1, description="m (std)")
    beam_bias: float = Field(0.005, ge=0, le=1, description="fixed error of each beam, m (std)")
    drop_out: float = Field(0.02, ge=0, le=1, description="share of pulses lost at random")
    mixed: float = Field(0.1, ge=0, le=1, description="share of edge pulses between two surfaces")
    mount: tuple[float, float, float] = Field((0.0, 0.0, 1.75), description="on the vehicle, m")
    tilt: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0), description="roll, pitch (nose down positive) and yaw on the vehicle, rad"
    )

    @property
    def period(self) -> float:
        """Seconds a turn."""
        return 1.0 / self.rate

    @property
    def vehicle_from_lidar(self) -> Float:
        """(4, 4) where it sits on the vehicle."""
        return transform(rotation(*self.tilt)[0], np.asarray(self.mount))


@dataclass(frozen=True, eq=False)
class Sweep:
    """One turn, with what only a simulator knows.

    Attributes:
        cloud: as a driver gives it: each point in the sensor's axes at its own fire time.
        intensity: (N,) float32, 0 to 1. ring: (N,) uint16 beam number from below.
        world: (N, 3) float64 m, the measured points in the world.
        body: (N,) int16, which body each lies on. local: (N, 3) float32, in that body's axes.
        category: (N,) uint8. object_id: (N,) int32.
        moving: (N,) bool: its body moves at least 0.05 m in 0.1 s from the stamp.
        true_range: (N,) float32 m, before noise.
        world_from_sensor: (4, 4) at the stamp.
    """

    cloud: PointCloud
    intensity: NDArray[np.float32]
    ring: NDArray[np.uint16]
    world: Float
    body: NDArray[np.int16]
    local: NDArray[np.float32]
    category: NDArray[np.uint8]
    object_id: NDArray[np.int32]
    moving: NDArray[np.bool_]
    true_range: NDArray[np.float32]
    world_from_sensor: Float

    @property
    def ground(self) -> NDArray[np.bool_]:
        """(N,) points on road, pavement or grass."""
        return self.category == Category.GROUND

    @property
    def deskewed(self) -> PointCloud:
        """The points in the sensor's axes at the stamp: the vehicle's own motion is taken out,
        that of others is not."""
        return self.seen_from(self.world_from_sensor)

    def seen_from(self, world_from_frame: Float) -> PointCloud:
        """The points in another frame, each where it was when measured."""
        turn, place = world_from_frame[:3, :3], world_from_frame[:3, 3]
        points = (self.world - place) @ turn
        origin = (self.world_from_sensor[:3, 3] - place) @ turn
        cloud = self.cloud
        return PointCloud(
            points.astype(np.float32), cloud.time, cloud.stamp, cloud.frame,
            origin.astype(np.float32),
        )  # fmt: skip


@lru_cache(maxsize=8)
def _directions(pattern: str, columns: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Share of the turn (C,), height (C,), directions (C, B, 3) and ring (B,) of all heads."""
    heads = PATTERNS[pattern]
    order = np.arange(columns) / columns
    phase, height, fans = [], [], []
    for head in heads:
        # a spinning lidar turns clockwise seen from above
        azimuth = -2 * np.pi * (order + head.start)
        elevation = np.array(head.elevations)
        flat = np.cos(elevation)
        fan = np.empty((columns, len(elevation), 3), np.float32)
        fan[..., 0] = np.cos(azimuth)[:, None] * flat
        fan[..., 1] = np.sin(azimuth)[:, None] * flat
        fan[..., 2] = np.sin(elevation)
        phase.append(order)
        height.append(np.full(columns, head.height))
        fans.append(fan)
    beams = len(heads[0].elevations)
    rings = np.concatenate([np.arange(beams) + k * beams for k in range(len(heads))])
    return np.concatenate(phase), np.concatenate(height), np.concatenate(fans), rings


def _rosette(
    columns: int, start: float, period: float
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """As ``_directions``, of a sweep that starts at ``start``, s, and takes ``period``, s."""
    share = np.arange(columns) / columns
    time = start + period * np.arange(columns * ROSETTE_PULSES) / (columns * ROSETTE_PULSES)
    one, other = (2 * np.pi * ((turns * time) % 1.0) for turns in ROSETTE_TURNS)
    left = ROSETTE_VIEW / 4 * (np.cos(one) + np.cos(other))
    up = ROSETTE_VIEW / 4 * (np.sin(one) + np.sin(other))
    off = np.hypot(left, up)
    aside = np.sinc(off / np.pi)  # sin(off) / off
    fan = np.stack([np.cos(off), aside * left, aside * up], axis=-1).astype(np.float32)
    rings = np.arange(ROSETTE_PULSES)
    return share, np.zeros(columns), fan.reshape(columns, ROSETTE_PULSES, 3), rings


def sweep(
    lidar: Lidar,
    scene: Scene,
    vehicle: Motion,
    stamp: float,
    seed: int,
    index: int,
    frame: str = "lidar",
    noise: bool = True,
    dead_sector: tuple[float, float] | None = None,
) -> Sweep:
    """One turn of the lidar that starts at ``stamp``.

    Args:
        lidar, scene: sensor and world.
        vehicle: ``world_from_body``; the sensor sits at ``lidar.vehicle_from_lidar``.
        stamp: s.
        seed, index: of the world, and number of the sweep: they choose the noise.
        noise: False gives exact ranges and no losses but those of range.
        dead_sector: azimuths (rad, sensor axes) between which nothing comes back.
    """
    if lidar.pattern == ROSETTE:
        share, height, fan, rings = _rosette(lidar.columns, stamp, lidar.period)
    else:
        share, height, fan, rings = _directions(lidar.pattern, lidar.columns)
    columns, beams = fan.shape[:2]
    rng = stream(seed, "lidar", index)
    turn_offset = stream(seed, "lidar phase").uniform(0, 2 * np.pi) if noise else 0.0
    if turn_offset and lidar.pattern != ROSETTE:
        c, s = np.cos(turn_offset), np.sin(turn_offset)
        fan = fan @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
    offsets = share * lidar.period
    times = stamp + offsets
    turn, place = vehicle.pose(times)
    mount, tilt = np.asarray(lidar.mount), rotation(*lidar.tilt)[0]
    local_origin = np.zeros((columns, 3))
    local_origin[:, 2] = height
    origins = place + np.einsum("cij,cj->ci", turn, mount + local_origin @ tilt.T)
    seen = fan @ tilt.T.astype(np.float32) if any(lidar.tilt) else fan
    directions = np.matmul(seen, turn.astype(np.float32).transpose(0, 2, 1))
    hits = scene.cast(Rays(times, origins, directions, lidar.reach))

    true_range = hits.distance
    rows = np.flatnonzero(hits.face >= 0)
    seen_face, distance = hits.face[rows], true_range[rows]
    column, beam = rows // beams, rows % beams
    material = scene.material[seen_face]
    cosine = np.abs(np.einsum("ni,ni->n", scene.normals[seen_face], hits.direction[rows]))
    intensity = REFLECTANCE[material] * (0.3 + 0.7 * cosine)
    measured = distance.copy()
    if noise:
        chance = rng.random(len(rows), dtype=np.float32)
        # a weak echo (dark, grazing, far) is lost more often; glass swallows most pulses
        echo = REFLECTANCE[material] * np.sqrt(cosine) / np.maximum(distance, 1.0) ** 2
        lost = lidar.drop_out + np.exp(-echo / WEAK_ECHO)
        lost = np.maximum(lost, GLASS[material])
        alive = chance > lost
        bias = stream(seed, "beam bias").normal(0, lidar.beam_bias, beams * 2).astype(np.float32)
        measured += bias[rings[beam] if len(rings) == beams else beam]
        measured += lidar.range_noise * rng.standard_normal(len(rows), dtype=np.float32)
        measured = _mix_edges(measured, true_range, rows, beams, lidar.mixed, rng)
        alive &= measured > 0.4
        intensity = intensity * (1 + 0.08 * rng.standard_normal(len(rows), dtype=np.float32))
    else:
        alive = np.ones(len(rows), bool)
    if dead_sector is not None:
        sensor_ray = fan.reshape(-1, 3)[rows]
        azimuth = np.arctan2(sensor_ray[:, 1], sensor_ray[:, 0])
        alive &= ~((azimuth >= dead_sector[0]) & (azimuth <= dead_sector[1]))

    rows, column, beam = rows[alive], column[alive], beam[alive]
    measured, seen_face = measured[alive], seen_face[alive]
    world = origins[column] + directions.reshape(-1, 3)[rows] * measured[:, None].astype(float)
    points = fan.reshape(-1, 3)[rows] * measured[:, None]
    points[:, 2] += height[column]
    body = hits.body[rows]
    local = hits.origin[rows] + hits.direction[rows] * measured[:, None]
    speed = scene.displacement(local, body, stamp, stamp + 0.1)
    (r0,), (p0,) = vehicle.pose(np.array([stamp]))
    pose = transform(r0 @ tilt, p0 + r0 @ mount)
    heads = 1 if lidar.pattern == ROSETTE else len(PATTERNS[lidar.pattern])
    head = column * heads // columns
    return Sweep(
        cloud=PointCloud(points, offsets[column].astype(np.float32), stamp, frame),
        intensity=np.clip(intensity[alive], 0, 1).astype(np.float32),
        ring=(beam + head * beams).astype(np.uint16),
        world=world,
        body=body,
        local=local,
        category=scene.category[seen_face],
        object_id=scene.object_id[seen_face],
        moving=np.einsum("ni,ni->n", speed, speed) >= 0.05**2,
        true_range=true_range[rows],
        world_from_sensor=pose,
    )


def _mix_edges(measured, true_range, rows, beams, share, rng):  # type: ignore[no-untyped-def]
    """Pulses split by an edge: some ranges fall between this surface and its neighbour's."""
    neighbour = true_range[np.minimum(rows + beams, len(true_range) - 1)]
    gap = neighbour - true_range[rows]
    edge = (np.abs(gap) > 0.3) & (np.abs(gap) < 4.0)
    split = edge & (rng.random(len(rows), dtype=np.float32) < share)
    mix = rng.random(len(rows), dtype=np.float32)
    return np.where(split, measured + gap * mix, measured).astype(np.float32)
