"""Slow movers: found over half a second, where two sweeps show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.types import FloatArray, PointCloud

PERIOD = 0.1
HEIGHT = 1.7


def place() -> FloatArray:
    """Ground and four walls as beams 0.4 degrees apart see them from the middle, (N, 3)."""
    azimuth = np.deg2rad(np.arange(-180, 180, 0.3))
    elevation = np.deg2rad(np.arange(-24, 6, 0.5))
    a, e = (part.ravel() for part in np.meshgrid(azimuth, elevation))
    wall = 25.0 / np.maximum(np.abs(np.cos(a)), np.abs(np.sin(a)))
    with np.errstate(divide="ignore"):
        ground = np.where(e < 0, HEIGHT / np.tan(-e), np.inf)
    away = np.minimum(wall, ground)
    points = np.stack([away * np.cos(a), away * np.sin(a), away * np.tan(e)], axis=1)
    return points.astype(np.float32)


PLACE = place()


def person(at: tuple[float, float]) -> FloatArray:
    """The side that a person 0.4 m wide and 1.7 m high shows the sensor."""
    rng = np.random.default_rng(1)
    turn = rng.uniform(-0.5 * np.pi, 0.5 * np.pi, 240) + np.pi + np.arctan2(at[1], at[0])
    z = rng.uniform(0.1, 1.7, 240) - HEIGHT
    around = np.stack([at[0] + 0.2 * np.cos(turn), at[1] + 0.2 * np.sin(turn), z], axis=1)
    return around.astype(np.float32)


def sweep(k: int, at: tuple[float, float]) -> PointCloud:
    """What is seen of the place, with a person in it."""
    body = person(at)
    direction = np.arctan2(PLACE[:, 1], PLACE[:, 0])
    slope = PLACE[:, 2] / np.hypot(PLACE[:, 0], PLACE[:, 1])
    distance = np.hypot(*at)
    behind = np.hypot(PLACE[:, 0], PLACE[:, 1]) > distance
    height = slope * distance + HEIGHT
    hidden = behind & (np.abs(direction - np.arctan2(at[1], at[0])) < 0.2 / distance)
    hidden &= (height > 0.0) & (height < 1.7)
    noise = np.random.default_rng(k).normal(0, 0.01, (len(PLACE), 3)).astype(np.float32)
    return PointCloud(np.concatenate([body, (PLACE + noise)[~hidden]]), stamp=PERIOD * k)


def walk(velocity: tuple[float, float], sweeps: int = 12) -> list[SweepFlow]:
    online = OnlineFlow()
    return [
        online.process(sweep(k, (9.0 + velocity[0] * PERIOD * k, 2.0 + velocity[1] * PERIOD * k)))
        for k in range(sweeps)
    ]


@pytest.mark.parametrize("velocity", [(-1.0, 0.0), (0.0, 0.5)])
def test_who_walks_slowly_is_found_and_held(velocity: tuple[float, float]) -> None:
    results = walk(velocity)
    last = results[-6:]
    found = [result.flow.moving[:240].mean() > 0.5 for result in last]
    assert all(found)
    for result in last:
        mine = result.flow.moving.copy()
        mine[240:] = False
        mean = result.flow.velocity[mine].mean(axis=0)
        assert np.linalg.norm(mean[:2] - velocity) < 0.3
        assert result.flow.moving[240:].mean() < 1e-3


def test_who_stands_does_not_walk() -> None:
    assert not any(result.flow.moving.any() for result in walk((0.0, 0.0)))
