"""Static objects of a street: the ground, houses, trees, hedges, fences, lamps, parked cars."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ssl_perception_sim.world.categories import Category
from ssl_perception_sim.world.materials import INDEX
from ssl_perception_sim.world.mesh import (
    Mesh,
    box,
    grid,
    leaves,
    merge,
    quad,
    triangles,
    tube,
)
from ssl_perception_sim.world.road import KERB, LANE, Road


def ground(road: Road, start: float, end: float) -> Mesh:
    """Road, markings, kerbs, pavements and the land behind them."""
    h, w = road.half_width, road.half_width + road.walk
    s = np.arange(start, end, 0.8)

    def strip(d: ArrayLike, material: str, tint: ArrayLike = (1, 1, 1), lift: float = 0.0) -> Mesh:
        lateral = np.asarray(d, float)
        points = road.place(s[:, None], lateral[None, :])
        points[..., 2] += lift
        uv = np.stack(np.broadcast_arrays(s[:, None], lateral[None, :]), -1)
        return grid(points, uv, INDEX[material], tint).labelled(Category.GROUND, 0)

    parts = [strip(np.arange(-h, h + 1e-6, h / 6), "asphalt")]
    for side in (-1, 1):
        kerb_s = np.repeat(s[:, None], 2, 1)
        foot = road.place(s, side * h)
        top = road.place(s, side * (h + 0.01))
        uv = np.stack([kerb_s, np.tile([0, KERB], (len(s), 1))], -1)
        face = grid(np.stack([foot, top], 1), uv, INDEX["concrete"])
        parts.append(face.labelled(Category.GROUND, 0))
        parts.append(strip(side * np.linspace(h + 0.01, w, 4), "paving"))
        far = side * np.concatenate([np.arange(w, w + 16, 1.6), np.arange(w + 16, w + 60, 6.0)])
        parts.append(strip(far, "grass"))
    dash = s[(s % 9) < 5]
    for line in range(-road.plan.lanes + 1, road.plan.lanes):
        for a in dash[:-1]:
            corner = road.place(
                [a, a + 0.8, a + 0.8, a], np.array([-0.06, -0.06, 0.06, 0.06]) + line * LANE
            )
            corner[:, 2] += 0.006
            mark = quad(corner, INDEX["marking"], (0.95, 0.95, 0.95))
            parts.append(mark.labelled(Category.GROUND, 0))
    return merge(parts)


def house(
    rng: np.random.Generator, width: float, depth: float, floors: int, object_id: int
) -> Mesh:
    """A house with recessed windows; its front looks along -y from y = 0."""
    wall = INDEX[rng.choice(["brick", "plaster", "plaster", "concrete"])]
    tint = rng.uniform(0.65, 1.05, 3) if wall != INDEX["brick"] else rng.uniform(0.8, 1.1, 3)
    storey, height = 3.0, 3.0 * floors
    columns = max(2, int(width / rng.uniform(2.4, 3.6)))
    cell = width / columns
    glass_w, glass_h, sill, recess = cell * rng.uniform(0.4, 0.6), 1.35, 0.95, 0.16
    parts: list[Mesh] = []
    door = int(rng.integers(columns))
    for floor in range(floors):
        for column in range(columns):
            x0, z0 = column * cell, floor * storey
            x1, z1 = x0 + cell, z0 + storey
            a, b = x0 + (cell - glass_w) / 2, x0 + (cell + glass_w) / 2
            is_door = floor == 0 and column == door
            c = z0 if is_door else z0 + sill
            e = z0 + (2.2 if is_door else sill + glass_h)
            around = [(x0, a, z0, z1), (b, x1, z0, z1), (a, b, e, z1)]
            if not is_door:
                around.append((a, b, z0, c))
            for left, right, low, up in around:
                corners = [(left, 0, low), (right, 0, low), (right, 0, up), (left, 0, up)]
                parts.append(quad(corners, wall, tint))
            deep = recess
            pane = [(a, deep, c), (b, deep, c), (b, deep, e), (a, deep, e)]
            shade = rng.uniform(0.5, 1.0)
            parts.append(quad(pane, INDEX["door" if is_door else "glass"], (shade, shade, shade)))
            for p, q in (((a, c), (a, e)), ((b, c), (b, e)), ((a, c), (b, c)), ((a, e), (b, e))):
                reveal = [(p[0], 0, p[1]), (q[0], 0, q[1]), (q[0], deep, q[1]), (p[0], deep, p[1])]
                parts.append(quad(reveal, wall, np.asarray(tint) * 0.8))
    for x in (0.0, width):  # gable walls
        parts.append(
            quad([(x, 0, 0), (x, depth, 0), (x, depth, height), (x, 0, height)], wall, tint)
        )
    ridge = height + rng.uniform(0.0, 0.35) * depth
    roof, over = INDEX["roof"], 0.35
    for y0, y1 in ((-over, depth / 2), (depth + over, depth / 2)):
        parts.append(quad([(-over, y0, height - 0.1), (width + over, y0, height - 0.1),
                           (width + over, y1, ridge), (-over, y1, ridge)], roof))  # fmt: skip
    for x in (0.0, width):  # what the roof leaves open above the gable walls
        gable = np.array([[(x, 0, height), (x, depth, height), (x, depth / 2, ridge)]])
        parts.append(triangles(gable, gable[..., 1:], wall, tint))
    if rng.random() < 0.35:
        bay = box((cell * 0.9, 0.7, storey * (floors - 1) + 2.2), wall, tint)
        parts.append(bay.moved((cell * (int(rng.integers(columns)) + 0.5), -0.35, 0.3)))
    if rng.random() < 0.5:
        steps = box((1.4, 0.9, 0.3), INDEX["concrete"])
        parts.append(steps.moved(((door + 0.5) * cell, -0.45, 0)))
    return merge(parts).labelled(Category.BUILDING, object_id)


def tree(rng: np.random.Generator, object_id: int) -> Mesh:
    """Trunk, a few branches, and a crown of loose leaves that rays partly pass."""
    height = rng.uniform(1.2, 2.8)
    crown = rng.uniform(1.2, 2.3)
    green = rng.uniform(0.7, 1.1, 3)
    trunk = tube(rng.uniform(0.1, 0.22), 0.09, height + crown, INDEX["bark"], sides=7, caps=False)
    parts = [trunk]
    for _ in range(4):
        limb = tube(0.05, 0.02, crown * 1.1, INDEX["bark"], sides=4, caps=False)
        lean = rng.uniform(0.4, 0.9)
        c, s = np.cos(lean), np.sin(lean)
        corners = limb.corners @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)
        tilted = Mesh(corners, limb.uv, limb.material, limb.tint, limb.category, limb.object_id)
        parts.append(tilted.moved((0, 0, height), rng.uniform(0, 6.3)))
    count = int(300 * crown**2)
    foliage = leaves(
        rng,
        count,
        (crown, crown, crown * rng.uniform(0.8, 1.3)),
        (0.12, 0.32),
        INDEX["leaf"],
        green,
    )
    parts.append(foliage.moved((0, 0, height + crown * 0.9)))
    return merge(parts).labelled(Category.VEGETATION, object_id)


def bush(rng: np.random.Generator, size: ArrayLike, object_id: int) -> Mesh:
    """A hedge or bush: half an ellipsoid or a box of leaves."""
    x, y, z = np.asarray(size, float) / 2
    count = int(160 * (x * y + y * z + x * z) * 2)
    mesh = leaves(rng, max(count, 60), (x * 1.15, y * 1.15, z * 1.1), (0.08, 0.25), INDEX["leaf"],
                  rng.uniform(0.6, 1.0, 3)).moved((0, 0, z))  # fmt: skip
    return mesh.labelled(Category.VEGETATION, object_id)


def fence(rng: np.random.Generator, length: float, object_id: int) -> Mesh:
    """Pickets and two rails along x."""
    high = rng.uniform(0.8, 1.3)
    tint = rng.uniform(0.6, 1.1, 3)
    parts = [
        box((length, 0.04, 0.08), INDEX["wood"], tint).moved((length / 2, 0, z))
        for z in (0.25, high - 0.25)
    ]
    picket = box((0.07, 0.03, high), INDEX["wood"], tint)
    parts += [picket.moved((x, 0.03, 0)) for x in np.arange(0.1, length, rng.uniform(0.16, 0.3))]
    return merge(parts).labelled(Category.CLUTTER, object_id)


def lamp(rng: np.random.Generator, object_id: int) -> Mesh:
    high = rng.uniform(5, 7)
    parts = [
        tube(0.09, 0.06, high, INDEX["metal"], (0.4, 0.42, 0.42), 8),
        box((0.9, 0.12, 0.1), INDEX["metal"], (0.5, 0.5, 0.5)).moved((0.4, 0, high)),
    ]
    return merge(parts).labelled(Category.POLE, object_id)


def sign(rng: np.random.Generator, object_id: int) -> Mesh:
    high = rng.uniform(2.1, 2.8)
    plate = box((0.03, 0.6, 0.6), INDEX["sign"]).moved((-0.05, 0, high - 0.6))
    pole = tube(0.035, 0.035, high, INDEX["metal"], (0.6, 0.6, 0.6), 6)
    return merge([pole, plate]).labelled(Category.POLE, object_id)


def furniture(rng: np.random.Generator, object_id: int) -> Mesh:
    """A bin, bench, cabinet or bollard."""
    kind = rng.integers(4)
    if kind == 0:
        mesh = tube(0.25, 0.28, 0.95, INDEX["metal"], (0.25, 0.45, 0.2), 8)
    elif kind == 1:
        seat = box((1.6, 0.45, 0.06), INDEX["wood"]).moved((0, 0, 0.42))
        back = box((1.6, 0.05, 0.4), INDEX["wood"]).moved((0, 0.2, 0.5))
        legs = [box((0.08, 0.4, 0.42), INDEX["metal"]).moved((x, 0, 0)) for x in (-0.6, 0.6)]
        mesh = merge([seat, back, *legs])
    elif kind == 2:
        mesh = box((0.8, 0.4, 1.2), INDEX["metal"], (0.5, 0.55, 0.5))
    else:
        mesh = tube(0.09, 0.09, 0.9, INDEX["concrete"], (0.5, 0.5, 0.5), 8)
    return mesh.labelled(Category.CLUTTER, object_id)


def on_ground(mesh: Mesh, road: Road, s: float, d: float, turn: float = 0.0) -> Mesh:
    place = road.place(s, d)
    return mesh.moved(place, float(road.heading(s)) + turn)
