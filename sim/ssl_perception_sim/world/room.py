"""Rooms by seed: four walls, a floor, a ceiling and things that stand in the way."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from ssl_perception.config import Section
from ssl_perception_sim.world.categories import Category
from ssl_perception_sim.world.materials import INDEX
from ssl_perception_sim.world.mesh import (
    Mesh,
    box,
    ellipsoid,
    leaves,
    merge,
    quad,
    tube,
)
from ssl_perception_sim.world.motion import Float
from ssl_perception_sim.world.randomness import stream

CELL = 0.4  # m, edge of the surface cells that light is baked into


Wall = Literal["brick", "stripes", "posters", "plaster", "checker", "blank"]
Floor = Literal["wood", "carpet", "checker", "paving"]
Length = Annotated[float, Field(ge=2.0, le=100.0)]


class RoomPlan(Section):
    """What a room is like."""

    size: tuple[Length, Length, Length] = Field(
        (5.0, 5.0, 2.6), description="length, width, height, m"
    )
    walls: tuple[Wall, Wall, Wall, Wall] = Field(
        ("brick", "posters", "stripes", "plaster"), description="ahead (+x), left, behind, right"
    )
    floor: Floor = Field("wood", description="what it is made of")
    clutter: int = Field(5, ge=0, le=200, description="things that stand in it")
    contrast: float = Field(1.0, ge=0, le=1.0, description="of all textures; 0 is blank")


def plan(seed: int, size: tuple[float, float, float] = (5.0, 5.0, 2.6)) -> RoomPlan:
    """A different room for each seed; no wall is blank unless a world file asks for it."""
    rng = stream(seed, "room plan")
    walls = rng.permutation([w for w in get_args(Wall) if w != "blank"])[:4]
    area = size[0] * size[1]
    return RoomPlan.model_validate(
        {
            "size": size,
            "walls": walls.tolist(),
            "floor": str(rng.choice(get_args(Floor))),
            "clutter": min(200, int(rng.integers(4, 7) * area / 25)),
        }
    )


def _wall(
    rng: np.random.Generator, start: ArrayLike, end: ArrayLike, height: float, kind: str
) -> list[Mesh]:
    """A wall from start to end (x, y), seen from its left, with what hangs on it."""
    a, b = np.array([*np.asarray(start), 0.0]), np.array([*np.asarray(end), 0.0])
    up, lift = np.array([0.0, 0.0, height]), np.array([0.0, 0.0, 1.0])
    base = "plaster" if kind == "posters" else kind
    tint = (1.0, 1.0, 1.0) if kind != "plaster" else rng.uniform(0.75, 1.0, 3)
    parts = [quad([a, b, b + up, a + up], INDEX[base], tint, CELL)]
    along = (b - a) / np.linalg.norm(b - a)
    inward = np.array([-along[1], along[0], 0.0])
    length = float(np.linalg.norm(b - a))
    if kind == "posters":
        x = 0.15
        while x < length - 0.5:
            w, h = rng.uniform(0.5, 1.1), rng.uniform(0.6, 1.3)
            w = min(w, length - 0.1 - x)
            z = rng.uniform(0.4, max(0.5, height - h - 0.2))
            corner = a + along * x + inward * 0.012 + np.array([0, 0, z])
            sheet = [corner, corner + along * w, corner + along * w + h * lift, corner + h * lift]
            name = rng.choice(["poster_a", "poster_b", "poster_c"])
            parts.append(quad(sheet, INDEX[name], rng.uniform(0.8, 1.1, 3)))
            x += w + rng.uniform(0.05, 0.3)
    if kind != "blank":  # a skirting board
        foot = a + inward * 0.01
        end_foot = foot + along * length
        board = [foot, end_foot, end_foot + 0.08 * lift, foot + 0.08 * lift]
        parts.append(quad(board, INDEX["wood"], (0.9, 0.9, 0.9)))
    return [part.labelled(Category.WALL, 0) for part in parts]


def _thing(rng: np.random.Generator, high: float) -> tuple[Mesh, float]:
    """One piece of clutter, on the ground at the origin, and the radius of its footprint."""
    kind = rng.choice(["shelf", "boxes", "pillar", "table", "plant", "cabinet", "person"])
    bright = rng.uniform(0.5, 1.1, 3)
    if kind == "shelf":
        width, height = rng.uniform(0.7, 1.1), rng.uniform(1.6, 2.0)
        wood = (INDEX["wood"], INDEX["wood"], INDEX["wood"])
        mesh: Mesh = box((0.32, width, height), wood, bright, step=CELL)
        for side in (-1, 1):
            front = np.array([[0.165 * side, y, z] for y, z in
                              ((-width / 2, 0.05), (width / 2, 0.05), (width / 2, height - 0.05),
                               (-width / 2, height - 0.05))])  # fmt: skip
            mesh = merge([mesh, quad(front, INDEX["books"], step=CELL)])
        return mesh, 0.6
    if kind == "boxes":
        parts, z = [], 0.0
        for _ in range(int(rng.integers(2, 5))):
            size = rng.uniform(0.3, 0.55, 3)
            skin = INDEX[rng.choice(["poster_a", "poster_b", "wood", "checker"])]
            parts.append(
                box(size, skin, rng.uniform(0.6, 1.1, 3), step=CELL).moved(
                    (*rng.uniform(-0.06, 0.06, 2), z), rng.uniform(0, 1.5)
                )
            )
            z += size[2]
        return merge(parts), 0.45
    if kind == "pillar":
        radius = rng.uniform(0.12, 0.25)
        skin = INDEX[rng.choice(["brick", "stripes", "concrete", "checker"])]
        return tube(radius, radius, high, skin, bright, sides=16), radius
    if kind == "table":
        top = box((0.8, 1.3, 0.04), INDEX["wood"], bright, step=CELL).moved((0, 0, 0.72))
        legs = [
            box((0.05, 0.05, 0.72), INDEX["wood"], bright).moved((x, y, 0))
            for x in (-0.35, 0.35)
            for y in (-0.6, 0.6)
        ]
        load = box((0.3, 0.4, 0.5), INDEX["poster_c"]).moved((0, rng.uniform(-0.4, 0.4), 0.76))
        return merge([top, *legs, load]), 0.8
    if kind == "plant":
        pot = tube(0.14, 0.19, 0.35, INDEX["brick"], bright, 10)
        stem = tube(0.02, 0.015, 0.8, INDEX["bark"], sides=5).moved((0, 0, 0.35))
        crown = leaves(rng, 420, (0.36, 0.36, 0.55), (0.06, 0.17), INDEX["leaf"])
        return merge([pot, stem, crown.moved((0, 0, 1.1))]), 0.4
    if kind == "cabinet":
        extent = (rng.uniform(0.4, 0.6), rng.uniform(0.6, 1.0), rng.uniform(1.0, 1.9))
        return box(extent, INDEX[rng.choice(["wood", "books", "stripes"])], bright, step=CELL), 0.6
    body = ellipsoid((0.16, 0.24, 0.45), INDEX["checker"], bright, rings=8).moved((0, 0, 1.15))
    hips = tube(0.16, 0.15, 0.85, INDEX["cloth"], bright * 0.5, 10)
    head = ellipsoid((0.1, 0.09, 0.13), INDEX["skin"], (0.6, 0.7, 0.9)).moved((0, 0, 1.7))
    return merge([hips, body, head]), 0.3


def build(seed: int, room_plan: RoomPlan | None = None) -> tuple[Mesh, list[tuple[Float, float]]]:
    """The mesh of a room, centred on the origin, floor at z = 0, and the things' footprints
    (centre, radius)."""
    chosen = room_plan or plan(seed)
    rng = stream(seed, "room")
    x, y, z = chosen.size
    corners = np.array([(x, -y), (x, y), (-x, y), (-x, -y)]) / 2
    parts: list[Mesh] = []
    for k in range(4):
        parts += _wall(rng, corners[k], corners[(k + 1) % 4], z, chosen.walls[k])
    flat = np.c_[corners, np.zeros(4)]
    floor = quad(flat, INDEX[chosen.floor], step=CELL).labelled(Category.GROUND, 0)
    ceiling = quad(flat[::-1] + np.array([0, 0, z]), INDEX["concrete"], (1.1, 1.1, 1.1), step=CELL)
    parts += [floor, ceiling.labelled(Category.WALL, 0)]
    taken: list[tuple[Float, float]] = []
    for number in range(1, chosen.clutter + 1):
        thing, radius = _thing(rng, z)
        for _ in range(30):
            centre = rng.uniform(-1, 1, 2) * (np.array([x, y]) / 2 - radius - 0.05)
            # leave a way between any two things
            if all(np.hypot(*(centre - c)) > radius + r + 0.75 for c, r in taken):
                taken.append((centre, radius))
                placed = thing.moved((*centre, 0), rng.uniform(0, 2 * np.pi))
                parts.append(placed.labelled(Category.FURNITURE, number))
                break
    return merge(parts), taken
