"""Streets by seed: a road with houses, trees, parked cars and traffic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception_sim.world import actors, scenery
from ssl_perception_sim.world.mesh import Mesh, merge
from ssl_perception_sim.world.motion import Trajectory
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.road import (
    LANE,
    Road,
    StreetPlan,
    plan,
)
from ssl_perception_sim.world.scene import Actor
from ssl_perception_sim.world.scenery import on_ground
from ssl_perception_sim.world.traffic import traffic

LONGEST = 3000.0  # m of street: about three million triangles


@dataclass(frozen=True, eq=False)
class Street:
    """A finished street.

    Attributes:
        static: all that stands still. actors: all that moves, but for the own car.
        road: its shape. ego: how the own car drives. plan: what kind of street it is.
    """

    static: Mesh
    actors: list[Actor]
    road: Road
    ego: Trajectory
    plan: StreetPlan


def _surroundings(
    seed: int, plan: StreetPlan, road: Road, start: float, end: float, ids: Iterator[int]
) -> Mesh:
    """All that stands still."""
    parts = [scenery.ground(road, start, end)]
    for side in (-1, 1):
        parts += _frontage(stream(seed, "houses", side + 1), plan, road, start, end, side, ids)
        parts += _kerbside(stream(seed, "kerbside", side + 1), plan, road, start, end, side, ids)
        parts += _parked(stream(seed, "parked", side + 1), plan, road, start, end, side, ids)
    return merge(parts)


def _frontage(
    rng: np.random.Generator, plan: StreetPlan, road: Road, start: float, end: float, side: int,
    ids: Iterator[int],
) -> list[Mesh]:  # fmt: skip
    """One side's houses with their gardens, and what grows between them."""
    edge = road.half_width + road.walk
    parts: list[Mesh] = []
    s = start
    while s < end - 8:
        gap = rng.uniform(0.5, 6) if rng.random() < 0.8 else rng.uniform(8, 22)
        width, depth = rng.uniform(7, 18), rng.uniform(8, 12)
        setback = rng.uniform(0.3, 2.0) if rng.random() < 0.5 else rng.uniform(3, 8)
        house = scenery.house(rng, width, depth, int(rng.integers(1, 5)), next(ids))
        left, turn = (s, 0.0) if side > 0 else (s + width, np.pi)
        house = on_ground(house, road, left, side * (edge + setback), turn)
        parts.append(house.moved((0, 0, -0.15)))  # its base is in the ground
        if setback > 2.5:
            front = side * (edge + 0.4)
            if rng.random() < plan.hedges:
                for x in np.arange(s + 1, s + width - 1, 1.7):
                    hedge = scenery.bush(rng, (1.9, 0.8, rng.uniform(0.9, 1.6)), next(ids))
                    parts.append(on_ground(hedge, road, x, front))
            elif rng.random() < 0.7:
                fence = scenery.fence(rng, width - 1, next(ids))
                parts.append(on_ground(fence, road, s + 0.5, front))
            for _ in range(rng.integers(0, 5)):
                x, d = s + rng.uniform(1, width - 1), side * (edge + rng.uniform(1.5, setback))
                if rng.random() < 0.6:
                    plant = scenery.bush(rng, rng.uniform(0.8, 2.2, 3), next(ids))
                    parts.append(on_ground(plant, road, x, d))
                elif setback > 5:
                    parts.append(on_ground(scenery.tree(rng, next(ids)), road, x, d))
        if gap > 3:
            for x in np.arange(s + width + 0.8, s + width + gap - 0.8, 1.2):
                pick, d = rng.random(), side * (edge + rng.uniform(0.5, 9))
                if pick < plan.hedges * 0.6:
                    plant = scenery.bush(rng, rng.uniform(1.0, 2.6, 3), next(ids))
                    parts.append(on_ground(plant, road, x, d))
                elif pick < plan.hedges:
                    parts.append(on_ground(scenery.tree(rng, next(ids)), road, x, d))
        s += width + gap
    return parts


def _kerbside(
    rng: np.random.Generator, plan: StreetPlan, road: Road, start: float, end: float, side: int,
    ids: Iterator[int],
) -> list[Mesh]:  # fmt: skip
    """Trees, lamps, signs, shrubs, bins and benches on one pavement."""

    def shrub(rng: np.random.Generator, object_id: int) -> Mesh:
        return scenery.bush(rng, rng.uniform(0.5, 1.3, 3), object_id)

    parts = []
    for density, make, low, high in (
        (plan.trees, scenery.tree, 0.7, 1.2),
        (plan.trees, shrub, 0.7, road.walk),
        (2.5, scenery.lamp, 0.4, 0.6),
        (2.5, scenery.sign, 0.35, 0.7),
        (4.0, scenery.furniture, 0.5, road.walk - 0.4),
    ):
        for _ in range(rng.poisson(density * (end - start) / 100)):
            d = road.half_width + rng.uniform(low, high)
            turn = -side * np.pi / 2 if make is scenery.lamp else float(rng.choice([0, np.pi]))
            thing = make(rng, next(ids))
            parts.append(on_ground(thing, road, rng.uniform(start, end), side * d, turn))
    return parts


def _parked(
    rng: np.random.Generator, plan: StreetPlan, road: Road, start: float, end: float, side: int,
    ids: Iterator[int],
) -> list[Mesh]:  # fmt: skip
    """Cars, and now and then a lorry, along one kerb."""
    parts = []
    s = start + 3
    while s < end - 3:
        if rng.random() < plan.parked:
            make = actors.truck if rng.random() < 0.03 else actors.car
            turn = (0 if side < 0 else np.pi) + rng.normal(0, 0.03)
            d = side * (road.half_width - 1.1 + rng.normal(0, 0.08))
            vehicle = on_ground(make(rng, next(ids)), road, s, d, turn)
            parts.append(vehicle.moved((0, 0, -0.02)))
            s += rng.uniform(0.2, 1.2)
        s += rng.uniform(5.2, 6.5)
    return parts


def build(seed: int, seconds: float = 0.3, street_plan: StreetPlan | None = None) -> Street:
    """The street of ``seed``, with traffic that lasts ``seconds``.

    The own car starts at s = 0 at t = 0 in the inner right lane.

    Raises:
        InputError: the way would be longer than ``LONGEST``.
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
    if extent[1] - extent[0] > LONGEST:
        raise InputError(
            f"{seconds:g} s at {chosen.ego_speed:g} m/s need {extent[1] - extent[0]:.0f} m of "
            f"street, but {LONGEST:.0f} m is the longest; simulate less or drive more slowly"
        )
    beyond = chosen.fastest * (seconds + 2.0) + 30.0
    road = Road(seed, chosen, extent[0] - beyond, extent[1] + beyond)
    ids = count(1)
    static = _surroundings(seed, chosen, road, *extent, ids)
    moving = traffic(seed, chosen, road, times, ego_s, ids, extent)
    d = -LANE / 2 + 0.1 * np.sin(0.4 * times + rng.uniform(0, 6.3))
    ego = road.drive(times, ego_s, d, sway=0.008)
    return Street(static, moving, road, ego, chosen)
