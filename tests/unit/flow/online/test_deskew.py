"""Deskewing: points fall back to where a sensor that stood still would have seen them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception.flow.online.deskew import deskew

WORLD = np.random.default_rng(0).uniform(-10, 10, (400, 3))
TIME = np.linspace(-0.05, 0.05, 400).astype(np.float32)


@pytest.mark.parametrize("axis", range(6))
def test_a_static_world_falls_into_place(axis: int) -> None:
    """Against the exact motion, not its first order; each direction and each turn alone."""
    twist = np.zeros(6)
    twist[axis] = 8.0 if axis < 3 else 0.5
    turn = Rotation.from_rotvec(TIME[:, None] * twist[3:])
    seen = turn.inv().apply(WORLD - TIME[:, None] * twist[:3]).astype(np.float32)
    assert np.abs(seen - WORLD).max() > 0.2, "there is something to undo"
    straight = deskew(seen, TIME, twist)
    np.testing.assert_allclose(straight, WORLD, atol=0.01)
    assert np.abs(deskew(seen, TIME, -twist) - WORLD).max() > 0.4, "the sign matters"


def test_points_without_motion_stay() -> None:
    points = WORLD.astype(np.float32)
    np.testing.assert_array_equal(deskew(points, TIME, np.zeros(6)), points)
