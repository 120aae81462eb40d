"""Vehicles, cyclists and walkers of a street, on paths that don't collide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssl_perception_sim.world import actors
from ssl_perception_sim.world.motion import Float, Trajectory
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.road import LANE, Road, StreetPlan
from ssl_perception_sim.world.scene import Actor, Body

_BY_LENGTH = ((6.0, actors.car), (11.0, actors.truck), (13.0, actors.bus), (15.0, actors.coach))


def _follow(
    rng: np.random.Generator, times: Float, count: int, plan: StreetPlan,
    extent: tuple[float, float],
) -> tuple[Float, Float]:  # fmt: skip
    """Positions (T, V) along one lane and lengths (V,): each car follows the one ahead (IDM).

    Intelligent driver model: Treiber, Hennecke, Helbing, Phys. Rev. E 62 (2000), eq. 3.
    """
    low, high = plan.slowest, plan.fastest
    lengths = rng.uniform(4.0, 5.0, count)
    long = rng.random(count)
    lengths[long < 0.16] = 9.0
    lengths[long < 0.08] = 12.0
    lengths[long > 1.0 - plan.coaches] = 15.0
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


def traffic(
    seed: int, plan: StreetPlan, road: Road, times: Float, ego_s: Float, ids: Iterator[int],
    extent: tuple[float, float],
) -> list[Actor]:  # fmt: skip
    """All that moves, on paths that don't collide."""
    discs: list[tuple[Float, float]] = []  # (T, 2) centre and radius of what is taken

    def free(track: Float, radius: float) -> bool:
        return all((np.linalg.norm(track - other, axis=1) > radius + r).all() for other, r in discs)

    def along(trajectory: Trajectory, length: float) -> Float:
        turn, place = trajectory.pose(times)
        offset = np.linspace(-length / 2 + 0.9, length / 2 - 0.9, max(1, int(length / 1.8)))
        return place[:, None, :2] + offset[None, :, None] * turn[:, None, :2, 0]

    ego = along(road.drive(times, ego_s, np.full(len(times), -LANE / 2)), 4.6)
    discs += [(ego[:, k], 1.25) for k in range(ego.shape[1])]
    moving: list[Actor] = []
    span = extent[1] - extent[0]
    for lane in range(2 * plan.lanes):
        rng = stream(seed, "lane", lane)
        direction = 1 if lane < plan.lanes else -1
        middle = -direction * (LANE / 2 + (lane % plan.lanes) * LANE)
        # those who catch up or come towards us start beyond the stretch that is built
        entry = (extent[0] - plan.fastest * (times[-1] - times[0]), extent[1])
        count = rng.poisson(plan.vehicles * (entry[1] - entry[0]) / 100 / (2 * plan.lanes))
        path, lengths = _follow(rng, times, count, plan, entry)
        for k in range(count):
            s = path[:, k] if direction > 0 else extent[0] + extent[1] - path[:, k]
            wander = 0.15 * np.sin(times * rng.uniform(0.2, 0.6) + rng.uniform(0, 6.3))
            if np.abs(s - ego_s).min() > plan.length:
                continue
            trajectory = road.drive(times, s, middle + wander, sway=0.01)
            track = along(trajectory, lengths[k])
            if not all(free(track[:, j], 1.15) for j in range(track.shape[1])):
                continue
            discs += [(track[:, j], 1.15) for j in range(track.shape[1])]
            number = next(ids)
            make = next(make for longest, make in _BY_LENGTH if lengths[k] <= longest)
            moving.append(Actor(trajectory, [Body(make(rng, number), trajectory)], make.__name__))
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
            number = next(ids)
            make_actor = actors.cyclist if kind == "cyclist" else actors.pedestrian
            moving.append(make_actor(rng, number, trajectory, speed))
    return moving
