"""Streets by seed: a road with houses, trees, parked cars and traffic.

Everything is placed along the road: ``s`` metres along its centre line, ``d`` metres to the left.
Traffic keeps to the right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from ssl_perception_sim import actors
from ssl_perception_sim.categories import Category
from ssl_perception_sim.materials import INDEX
from ssl_perception_sim.mesh import Mesh, box, grid, leaves, merge, quad, tube
from ssl_perception_sim.motion import Float, Trajectory
from ssl_perception_sim.randomness import stream
from ssl_perception_sim.scene import Body, Scene

KERB = 0.13  # m
LANE = 3.3  # m


@dataclass(frozen=True)
class StreetPlan:
    """What a street is like.

    Attributes:
        lanes: each way. parked: share of kerb taken by parked cars.
        vehicles: per 100 m of street, both ways together. pedestrians, cyclists: per 100 m.
        trees: per 100 m and side. hedges: share of gaps between houses that are green.
        slope: largest grade, m/m. bumps: standard deviation of the ground's unevenness, m.
        speed: m/s that traffic aims at, low and high.
        ego_speed: m/s that the own car aims at.
        length: m ahead of and behind the stretch that the own car drives.
    """

    lanes: int = 1
    parked: float = 0.45
    vehicles: float = 5.0
    pedestrians: float = 6.0
    cyclists: float = 2.0
    trees: float = 6.0
    hedges: float = 0.6
    slope: float = 0.03
    bumps: float = 0.012
    speed: tuple[float, float] = (5.0, 14.0)
    ego_speed: float = 8.0
    length: float = 110.0


def plan(seed: int) -> StreetPlan:
    """A different kind of street for each seed: lanes, density, green and speed vary."""
    rng = stream(seed, "plan")
    return StreetPlan(
        lanes=int(rng.integers(1, 3)),
        parked=float(rng.uniform(0.2, 0.7)),
        vehicles=float(rng.uniform(3, 8)),
        pedestrians=float(rng.uniform(2, 9)),
        cyclists=float(rng.uniform(0.5, 4)),
        trees=float(rng.uniform(2, 9)),
        hedges=float(rng.uniform(0.3, 0.9)),
        slope=float(rng.uniform(0.0, 0.05)),
        bumps=float(rng.uniform(0.006, 0.02)),
        speed=(float(rng.uniform(2, 6)), float(rng.uniform(9, 20))),
        ego_speed=float(rng.uniform(4, 12)),
    )


class Road:
    """The centre line, the cross-section and the bumps.

    Args:
        seed, plan: of the street.
        start, end: range of s that must exist, m.
    """

    def __init__(self, seed: int, plan: StreetPlan, start: float, end: float) -> None:
        rng = stream(seed, "road")
        self.plan = plan
        self.half_width = plan.lanes * LANE + 2.3  # lanes and a parking strip
        self.walk = rng.uniform(2.5, 3.8)  # pavement
        s = np.arange(start - 30, end + 30, 2.0)
        waves = rng.uniform(60, 200, 3)
        bend = sum(
            rng.uniform(-0.006, 0.006) * np.sin(2 * np.pi * s / w + rng.uniform(0, 6.3))
            for w in waves
        )
        heading = np.cumsum(bend) * 2.0
        heading += rng.uniform(-0.3, 0.3) - np.interp(0, s, heading)
        grade = plan.slope * np.sin(2 * np.pi * s / rng.uniform(120, 300) + rng.uniform(0, 6.3))
        x, y, z = (np.cumsum(v) * 2.0 for v in (np.cos(heading), np.sin(heading), grade))
        zero = [np.interp(0, s, v) for v in (x, y, z)]
        self._line = CubicSpline(s, np.stack([x - zero[0], y - zero[1], z - zero[2]], 1))
        self._slope = self._line.derivative()
        self._waves = rng.uniform(0.5, 4.0, (12, 2)) * rng.choice([-1, 1], (12, 2))
        self._wave_phase = rng.uniform(0, 2 * np.pi, 12)
        self._tilt = rng.uniform(-0.03, 0.06, 2)  # the land beside the pavements

    def heading(self, s: ArrayLike) -> Float:
        """Direction of the road, rad."""
        slope = self._slope(s)
        return np.arctan2(slope[..., 1], slope[..., 0])

    def height(self, s: ArrayLike, d: ArrayLike, bumps: bool = True) -> Float:
        """Ground level, m; ``bumps=False`` gives the smooth surface below the unevenness."""
        s, d = np.broadcast_arrays(np.asarray(s, float), np.asarray(d, float))
        side = np.abs(d)
        edge = self.half_width + self.walk
        level = self._line(s)[..., 2] - 0.02 * np.minimum(side, self.half_width)  # crown
        level = level + np.where(side > self.half_width + 1e-3, KERB, 0.0)
        level = level + np.maximum(side - edge, 0) * self._tilt[(d > 0).astype(int)]
        if bumps:
            rough = sum(
                np.sin(a * s + b * d + c)
                for (a, b), c in zip(self._waves, self._wave_phase, strict=True)
            )
            factor = np.where(side > edge, 3.0, 1.0)
            level = level + self.plan.bumps * factor * rough / np.sqrt(6)
        return level

    def place(self, s: ArrayLike, d: ArrayLike, bumps: bool = True) -> Float:
        """(..., 3) world position on the ground."""
        s, d = np.broadcast_arrays(np.asarray(s, float), np.asarray(d, float))
        heading = self.heading(s)
        out = self._line(s).copy()
        out[..., 0] -= np.sin(heading) * d
        out[..., 1] += np.cos(heading) * d
        out[..., 2] = self.height(s, d, bumps)
        return out

    def drive(self, times: Float, s: Float, d: Float, sway: float = 0.0) -> Trajectory:
        """The motion of something that is at (s, d) at ``times`` and looks where it goes."""
        position = self.place(s, d, bumps=False)
        velocity = np.gradient(position, times, axis=0)
        speed = np.linalg.norm(velocity[:, :2], axis=1)
        yaw = np.arctan2(velocity[:, 1], velocity[:, 0])
        slow = speed < 0.3
        forward = np.sign(s[-1] - s[0]) or 1.0
        rest = self.heading(s) + (0 if forward > 0 else np.pi)
        yaw = np.where(slow, rest, yaw)
        ahead = self.height(s + forward * 1.3, d, False) - self.height(s - forward * 1.3, d, False)
        pitch = -np.arctan2(ahead, 2.6)
        roll = sway * np.sin(2 * np.pi * 1.1 * times) * np.minimum(speed / 8, 1)
        return Trajectory(times, position, np.stack([roll, pitch, yaw], 1))


@dataclass(eq=False)
class Street:
    """A finished street.

    Attributes:
        scene: to cast rays at. road: its shape. ego: how the own car drives.
        materials: names of those in use. movers: object ids of all that may move.
    """

    scene: Scene
    road: Road
    ego: Trajectory
    plan: StreetPlan
    names: dict[int, str] = field(default_factory=dict)


class _Ids:
    def __init__(self) -> None:
        self.last = 0

    def __call__(self) -> int:
        self.last += 1
        return self.last


def _ground(road: Road, start: float, end: float, openings: list[tuple[float, float]]) -> Mesh:
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


def _house(
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
    if rng.random() < 0.35:
        bay = box((cell * 0.9, 0.7, storey * (floors - 1) + 2.2), wall, tint)
        parts.append(bay.moved((cell * (int(rng.integers(columns)) + 0.5), -0.35, 0.3)))
    if rng.random() < 0.5:
        steps = box((1.4, 0.9, 0.3), INDEX["concrete"])
        parts.append(steps.moved(((door + 0.5) * cell, -0.45, 0)))
    return merge(parts).labelled(Category.BUILDING, object_id)


def _tree(rng: np.random.Generator, object_id: int) -> Mesh:
    """Trunk, a few branches, and a crown of loose leaves that rays partly pass."""
    height = rng.uniform(1.9, 3.0)
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
    count = int(260 * crown**2)
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


def _bush(rng: np.random.Generator, size: ArrayLike, object_id: int) -> Mesh:
    """A hedge or bush: half an ellipsoid or a box of leaves."""
    x, y, z = np.asarray(size, float) / 2
    count = int(160 * (x * y + y * z + x * z) * 2)
    mesh = leaves(rng, max(count, 60), (x * 1.15, y * 1.15, z * 1.1), (0.08, 0.25), INDEX["leaf"],
                  rng.uniform(0.6, 1.0, 3)).moved((0, 0, z))  # fmt: skip
    return mesh.labelled(Category.VEGETATION, object_id)


def _fence(rng: np.random.Generator, length: float, object_id: int) -> Mesh:
    """Pickets and two rails along x."""
    high = rng.uniform(0.8, 1.3)
    tint = rng.uniform(0.6, 1.1, 3)
    parts = [
        box((length, 0.04, 0.08), INDEX["wood"], tint).moved((length / 2, 0, z))
        for z in (0.25, high - 0.25)
    ]
    for x in np.arange(0.1, length, rng.uniform(0.16, 0.3)):
        parts.append(box((0.07, 0.03, high), INDEX["wood"], tint).moved((x, 0.03, 0)))
    return merge(parts).labelled(Category.CLUTTER, object_id)


def _lamp(rng: np.random.Generator, object_id: int) -> Mesh:
    high = rng.uniform(5, 7)
    parts = [
        tube(0.09, 0.06, high, INDEX["metal"], (0.4, 0.42, 0.42), 8),
        box((0.9, 0.12, 0.1), INDEX["metal"], (0.5, 0.5, 0.5)).moved((0.4, 0, high)),
    ]
    return merge(parts).labelled(Category.POLE, object_id)


def _sign(rng: np.random.Generator, object_id: int) -> Mesh:
    high = rng.uniform(2.1, 2.8)
    plate = box((0.03, 0.6, 0.6), INDEX["sign"]).moved((-0.05, 0, high - 0.6))
    pole = tube(0.035, 0.035, high, INDEX["metal"], (0.6, 0.6, 0.6), 6)
    return merge([pole, plate]).labelled(Category.POLE, object_id)


def _furniture(rng: np.random.Generator, object_id: int) -> Mesh:
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


def _on_ground(mesh: Mesh, road: Road, s: float, d: float, turn: float = 0.0) -> Mesh:
    place = road.place(s, d)
    return mesh.moved(place, float(road.heading(s)) + turn)


def _surroundings(
    seed: int, plan: StreetPlan, road: Road, start: float, end: float, new_id: _Ids
) -> Mesh:
    """All that stands still."""
    edge = road.half_width + road.walk
    parts = [_ground(road, start, end, [])]
    for side in (-1, 1):
        rng = stream(seed, "houses", side + 1)
        s = start
        while s < end - 8:
            gap = rng.uniform(0.5, 6) if rng.random() < 0.8 else rng.uniform(8, 22)
            width, depth = rng.uniform(7, 18), rng.uniform(8, 12)
            setback = rng.uniform(0.3, 2.0) if rng.random() < 0.5 else rng.uniform(3, 8)
            house = _house(rng, width, depth, int(rng.integers(1, 5)), new_id())
            if side > 0:
                parts.append(_on_ground(house, road, s, edge + setback, 0.0).moved((0, 0, -0.15)))
            else:
                parts.append(
                    _on_ground(house, road, s + width, -edge - setback, np.pi).moved((0, 0, -0.15))
                )
            if setback > 2.5:
                front = edge + 0.4
                if rng.random() < plan.hedges:
                    for x in np.arange(s + 1, s + width - 1, 1.7):
                        bush = _bush(rng, (1.9, 0.8, rng.uniform(0.9, 1.6)), new_id())
                        parts.append(_on_ground(bush, road, x, side * front))
                elif rng.random() < 0.7:
                    parts.append(
                        _on_ground(_fence(rng, width - 1, new_id()), road, s + 0.5, side * front)
                    )
                for _ in range(rng.integers(0, 3)):
                    where = s + rng.uniform(1, width - 1), side * (edge + rng.uniform(1.5, setback))
                    if rng.random() < 0.5:
                        bush = _bush(rng, rng.uniform(0.8, 2.2, 3), new_id())
                        parts.append(_on_ground(bush, road, *where))
                    elif setback > 5:
                        parts.append(_on_ground(_tree(rng, new_id()), road, *where))
            if gap > 3:
                for x in np.arange(s + width + 0.8, s + width + gap - 0.8, 1.6):
                    pick = rng.random()
                    where = x, side * (edge + rng.uniform(0.5, 9))
                    if pick < plan.hedges * 0.6:
                        bush = _bush(rng, rng.uniform(1.0, 2.6, 3), new_id())
                        parts.append(_on_ground(bush, road, *where))
                    elif pick < plan.hedges:
                        parts.append(_on_ground(_tree(rng, new_id()), road, *where))
            s += width + gap

        rng = stream(seed, "kerbside", side + 1)
        for count, make, low, high in (
            (plan.trees, _tree, 0.7, 1.2),
            (2.5, _lamp, 0.4, 0.6),
            (2.5, _sign, 0.35, 0.7),
            (4.0, _furniture, 0.5, road.walk - 0.4),
        ):
            for _ in range(rng.poisson(count * (end - start) / 100)):
                d = road.half_width + rng.uniform(low, high)
                turn = -side * np.pi / 2 if make is _lamp else float(rng.choice([0, np.pi]))
                thing = make(rng, new_id())
                parts.append(_on_ground(thing, road, rng.uniform(start, end), side * d, turn))

        rng = stream(seed, "parked", side + 1)
        s = start + 3
        while s < end - 3:
            if rng.random() < plan.parked:
                mesh = (
                    actors.truck(rng, new_id())
                    if rng.random() < 0.03
                    else actors.car(rng, new_id())
                )
                turn = (0 if side < 0 else np.pi) + rng.normal(0, 0.03)
                d = side * (road.half_width - 1.1 + rng.normal(0, 0.08))
                parts.append(_on_ground(mesh, road, s, d, turn).moved((0, 0, -0.02)))
                s += rng.uniform(0.2, 1.2)
            s += rng.uniform(5.2, 6.5)
    return merge(parts)


def _follow(
    rng: np.random.Generator, times: Float, count: int, low: float, high: float,
    speeds: tuple[float, float], extent: tuple[float, float],
) -> tuple[Float, Float]:  # fmt: skip
    """Positions (T, V) along one lane and lengths (V,): each car follows the one ahead (IDM).

    Intelligent driver model: Treiber, Hennecke, Helbing, Phys. Rev. E 62 (2000), eq. 3.
    """
    lengths = rng.uniform(4.0, 5.0, count)
    long = rng.random(count)
    lengths[long < 0.16] = 9.0
    lengths[long < 0.08] = 12.0
    s = np.sort(rng.uniform(*extent, count))
    for k in range(1, count):
        s[k] = max(s[k], s[k - 1] + (lengths[k] + lengths[k - 1]) / 2 + 4.0)
    wish = rng.uniform(low, high, count)
    v = wish.copy()
    for k in range(count - 2, -1, -1):
        v[k] = min(v[k], v[k + 1] + 1.0)
    halts = rng.uniform(times[0], times[-1] + 20, count)  # now and then somebody stops
    out = np.empty((len(times), count))
    for t, time in enumerate(times):
        out[t] = s
        step = times[1] - times[0]
        gap = np.full(count, 1e3)
        closing = np.zeros(count)
        gap[:-1] = np.maximum(s[1:] - s[:-1] - (lengths[1:] + lengths[:-1]) / 2, 0.3)
        closing[:-1] = v[:-1] - v[1:]
        want = 2.0 + np.maximum(0, v * 1.2 + v * closing / (2 * np.sqrt(1.5 * 2.0)))
        goal = np.where((time > halts) & (time < halts + 6) & (wish < (low + high) / 2), 0.05, wish)
        accel = 1.5 * (1 - (v / np.maximum(goal, 0.05)) ** 4 - (want / gap) ** 2)
        v = np.maximum(v + np.clip(accel, -5, 1.5) * step, 0)
        s = s + v * step
    return out, lengths


def _traffic(
    seed: int, plan: StreetPlan, road: Road, times: Float, ego_s: Float, new_id: _Ids,
    extent: tuple[float, float],
) -> tuple[list[Body], dict[int, str]]:  # fmt: skip
    """All that moves, with nobody driving through anybody."""
    discs: list[tuple[Float, float]] = []  # (T, 2) centre and radius of what is taken

    def free(track: Float, radius: float) -> bool:
        return all((np.linalg.norm(track - other, axis=1) > radius + r).all() for other, r in discs)

    def along(trajectory: Trajectory, length: float) -> Float:
        turn, place = trajectory.pose(times)
        offset = np.linspace(-length / 2 + 0.9, length / 2 - 0.9, max(1, int(length / 1.8)))
        return place[:, None, :2] + offset[None, :, None] * turn[:, None, :2, 0]

    ego = along(road.drive(times, ego_s, np.full(len(times), -LANE / 2)), 4.6)
    discs += [(ego[:, k], 1.25) for k in range(ego.shape[1])]
    bodies: list[Body] = []
    names: dict[int, str] = {}
    span = extent[1] - extent[0]
    for lane in range(2 * plan.lanes):
        rng = stream(seed, "lane", lane)
        direction = 1 if lane < plan.lanes else -1
        middle = -direction * (LANE / 2 + (lane % plan.lanes) * LANE)
        count = max(1, rng.poisson(plan.vehicles * span / 100 / (2 * plan.lanes)))
        path, lengths = _follow(rng, times, count, *plan.speed, plan.speed, extent)
        for k in range(count):
            s = path[:, k] if direction > 0 else extent[0] + extent[1] - path[:, k]
            wander = 0.15 * np.sin(times * rng.uniform(0.2, 0.6) + rng.uniform(0, 6.3))
            keep = (s > extent[0] - 100) & (s < extent[1] + 100)
            if not keep.all():
                continue
            trajectory = road.drive(times, s, middle + wander, sway=0.01)
            track = along(trajectory, lengths[k])
            if not all(free(track[:, j], 1.15) for j in range(track.shape[1])):
                continue
            discs += [(track[:, j], 1.15) for j in range(track.shape[1])]
            number = new_id()
            make = actors.bus if lengths[k] > 11 else actors.truck if lengths[k] > 6 else actors.car
            bodies.append(Body(make(rng, number), trajectory, make.__name__))
            names[number] = make.__name__
    rng = stream(seed, "people")
    edge = road.half_width
    for kind, density in (("cyclist", plan.cyclists), ("pedestrian", plan.pedestrians)):
        for _ in range(rng.poisson(density * span / 100)):
            way = rng.choice([-1, 1])
            s0 = rng.uniform(*extent)
            if kind == "cyclist":
                speed, radius = rng.uniform(2.5, 6.5), 0.75
                s = s0 + way * speed * times
                d = np.full(len(times), -way * (plan.lanes * LANE + 0.35))
                d += 0.08 * np.sin(2.2 * times + rng.uniform(0, 6))
            else:
                speed, radius = rng.uniform(0.7, 1.9), 0.4
                start_d = rng.choice([-1, 1]) * (edge + rng.uniform(1.3, road.walk - 0.3))
                crossing = rng.random() < 0.2
                s = s0 + (0.15 if crossing else 1.0) * way * speed * times
                d = np.full(len(times), start_d)
                if crossing:
                    begin = rng.uniform(times[0], times[-1])
                    moved = np.clip(times - begin, 0, None) * speed
                    d = start_d - np.sign(start_d) * np.minimum(moved, 2 * abs(start_d))
                else:
                    d += 0.1 * np.sin(0.8 * times + rng.uniform(0, 6))
            if s.min() < extent[0] - 15 or s.max() > extent[1] + 15:
                continue
            trajectory = road.drive(times, s, d)
            track = trajectory.pose(times)[1][:, :2]
            if not free(track, radius):
                continue
            discs.append((track, radius))
            number = new_id()
            make_body = actors.cyclist if kind == "cyclist" else actors.pedestrian
            bodies += make_body(rng, number, trajectory, speed)
            names[number] = kind
    return bodies, names


def build(seed: int, seconds: float = 0.3, street_plan: StreetPlan | None = None) -> Street:
    """The street of ``seed``, with traffic that lasts ``seconds``.

    The own car starts at s = 0 at t = 0 in the inner right lane.
    """
    chosen = street_plan or plan(seed)
    reach = chosen.length
    times = np.arange(-0.5, seconds + 1.0, 0.1)
    rng = stream(seed, "ego")
    wave = 2 * np.pi / rng.uniform(8, 20)
    speed = chosen.ego_speed * (1 + 0.25 * np.sin(wave * times + rng.uniform(0, 6.3)))
    ego_s = np.cumsum(speed) * 0.1
    ego_s -= np.interp(0.0, times, ego_s)
    extent = (ego_s.min() - reach, ego_s.max() + reach)
    road = Road(seed, chosen, extent[0] - 120, extent[1] + 120)
    new_id = _Ids()
    static = _surroundings(seed, chosen, road, *extent, new_id)
    bodies, names = _traffic(seed, chosen, road, times, ego_s, new_id, extent)
    d = -LANE / 2 + 0.1 * np.sin(0.4 * times + rng.uniform(0, 6.3))
    ego = road.drive(times, ego_s, d, sway=0.008)
    return Street(Scene(static, bodies), road, ego, chosen, names)
